"""The kinds of values that a spec has, each with the message for one that is not right."""

import ipaddress
import re
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
)

MIB = 1024**2
_UNITS = {"M": MIB, "G": 1024**3, "T": 1024**4}


def matching(pattern: str, accepted: str) -> AfterValidator:
    """Text that ``pattern`` matches as a whole; ``accepted`` says in words what that is."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"{value!r} is not valid (accepted: {accepted})")
        return value

    return AfterValidator(check)


def _hostname(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return value
    raise ValueError(f"{value!r} is an address (accepted: a name such as llmos)")


def _absolute(value: str) -> str:
    path = PurePosixPath(value)
    if not path.is_absolute() or ".." in path.parts or "\n" in value or ":" in value:
        raise ValueError(f"{value!r} is not valid (accepted: an absolute path without '..' or ':')")
    return value


def _size(value: object) -> object:
    """Bytes of ``512M``, ``2G``; whole MiB, because partitions are."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([1-9][0-9]*)([MGT])", value)
    if match is None:
        raise ValueError(f"{value!r} is not a size (accepted: a number with M, G or T, as in 512M)")
    return int(match[1]) * _UNITS[match[2]]


def _place(value: object) -> object:
    """A folder of the machine is a URL like any other."""
    url = f"file://{value}" if isinstance(value, str) and value.startswith("/") else value
    return url.rstrip("/") if isinstance(url, str) else url


def _beside_the_spec(value: object, info: ValidationInfo) -> object:
    base = (info.context or {}).get("base")
    return str(Path(base, value)) if base and isinstance(value, str) else value


Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=str), Field(ge=MIB)]
HostPath = Annotated[Path, BeforeValidator(_beside_the_spec, json_schema_input_type=str)]
TargetPath = Annotated[str, AfterValidator(_absolute)]
Sha256 = Annotated[str, matching(r"[0-9a-f]{64}", "64 hexadecimal digits, as sha256sum prints")]
UserName = Annotated[str, matching(r"[a-z_][a-z0-9_-]{0,30}", "a lower-case Unix name")]
PackageName = Annotated[
    str,
    matching(r"[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?", "a Debian package, or name=version"),
]
Hostname = Annotated[
    str,
    matching(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?", "letters, digits and '-'"),
    AfterValidator(_hostname),
]
Url = Annotated[str, matching(r"(https?|file)://[^\s\"']+", "an http, https or file URL")]
PlaceUrl = Annotated[
    str,
    BeforeValidator(_place),
    matching(
        r"https?://[^\s\"'/][^\s\"']*|file:///[^\s\"']+",
        "an https, http or file URL, or an absolute path",
    ),
]
Word = Annotated[str, matching(r"[^\s\"'\\]+", "one word without spaces or quotes")]


class Model(BaseModel):
    """A table of a spec: frozen, and with no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)
