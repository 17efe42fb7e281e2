"""Which hub is asked, and by whom: options, environment, a file, a credential."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from llmos_models.errors import BadAsk

FILE: Final = Path("/etc/llmos/models.toml")
CREDENTIAL: Final = "llmos.hf-token"
_ENDPOINT: Final = "hub_endpoint"
# Where system credentials are when no unit has asked for them: systemd's own folder for those
# of the firmware, the hypervisor and the kernel's command line; then what root has put down.
_FOLDERS: Final = (Path("/run/credentials/@system"), Path("/etc/credstore"))


@dataclass(frozen=True)
class HubSettings:
    """``endpoint`` is None for the library's own; the token is in no ``repr``."""

    endpoint: str | None
    token: "Token | None"


@dataclass(frozen=True, repr=False)
class Token:
    """A secret that does not end up in a message by accident."""

    secret: str


def hub_settings(
    option: str | None,
    env: Mapping[str, str],
    *,
    file: Path = FILE,
    folders: tuple[Path, ...] = _FOLDERS,
) -> HubSettings:
    """Put together what is said of the hub: option, ``$HF_ENDPOINT``, file.

    Raises:
        BadAsk: an endpoint is no URL, or the file is wrong.
    """
    if option:
        endpoint: str | None = _checked(option, "--endpoint")
    elif said := env.get("HF_ENDPOINT"):
        endpoint = _checked(said, "$HF_ENDPOINT")
    else:
        said = _from_file(file)
        endpoint = _checked(said, str(file)) if said else None
    return HubSettings(endpoint, _token(env, folders))


def _token(env: Mapping[str, str], folders: tuple[Path, ...]) -> Token | None:
    own = env.get("CREDENTIALS_DIRECTORY")
    for folder in ((Path(own),) if own else ()) + folders:
        try:
            text = (folder / CREDENTIAL).read_text(encoding="utf-8").strip()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except UnicodeDecodeError:
            text = ""
        return _printable(text, str(folder / CREDENTIAL))
    return _printable(env["HF_TOKEN"].strip(), "$HF_TOKEN") if env.get("HF_TOKEN") else None


def _printable(text: str, where: str) -> Token:
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise BadAsk(f"{where}: is no token (accepted: one line of letters and digits)")
    return Token(text)


def _from_file(file: Path) -> str | None:
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadAsk(f"{file}: {error}") from error
    for key in found:
        if key != _ENDPOINT:
            raise BadAsk(f"{file}: unknown {key!r} (one of: {_ENDPOINT})")
    value = found.get(_ENDPOINT)
    if value is not None and not isinstance(value, str):
        raise BadAsk(f"{file}: {_ENDPOINT} is {value!r}, and should be a URL")
    return value


def _checked(endpoint: str, where: str) -> str:
    try:
        parts = urlsplit(endpoint)
        sound = parts.scheme in {"https", "http"} and bool(parts.hostname)
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment or parts.username:
        raise BadAsk(f"{where}: {endpoint[:200]!r} is no https or http URL of a hub")
    return endpoint.rstrip("/")
