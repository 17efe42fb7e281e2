"""The manifest of a model in the store: where it is from, and which blobs it is made of."""

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from llmos_models.contents import Facts, Kind, plain
from llmos_models.errors import BadAsk, ModelError
from llmos_models.scan import DEFAULT_NAME

FORMAT: Final = 1
RESERVED: Final = frozenset({DEFAULT_NAME, "blobs", "manifests", "partial", "quarantine"})
"""Names that the store's folder needs for itself."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_HINT: Final = "Take the model away (llmosctl model rm --force NAME), and get it again."

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
# A name of a file, not a way out of the folder.
FileName = Annotated[str, Meta(pattern=r"^[^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]{0,199}$")]


class FileEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a model; ``size`` in bytes."""

    path: FileName
    sha256: Sha256
    size: Annotated[int, Meta(ge=0)]


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """A model; times are when it came and when its files were last read and found right."""

    name: str
    kind: Kind
    source: str
    files: Annotated[tuple[FileEntry, ...], Meta(min_length=1)]
    facts: Facts
    imported: datetime
    verified: datetime
    pinned: bool = False
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def check_name(name: str) -> None:
    """Raise BadAsk when a model cannot be called ``name``."""
    if not NAME.fullmatch(name) or name.endswith(".gguf"):
        raise BadAsk(
            f"{name[:100]!r} is no name for a model (accepted: 1 to 100 letters, digits, '.', '_' "
            "and '-', beginning with a letter or digit, without '.gguf')"
        )
    if name in RESERVED:
        raise BadAsk(f"{name!r} is no name for a model: the store needs it for itself")


def check_file_name(name: str) -> None:
    """Raise BadAsk when a file of a model cannot be called ``name``."""
    if (
        not 1 <= len(name.encode(errors="replace")) <= 200
        or name.startswith(".")
        or "/" in name
        or not name.isprintable()
    ):
        raise BadAsk(f"{plain(name)!r} is no name for a file of a model")


def encode(manifest: Manifest) -> bytes:
    """The manifest as it is on the disk."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def read(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ModelError: it is not there, or is not one; its blobs are then left alone.
    """
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", path=path) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"is no manifest: {error}", path=path, hint=_HINT) from error
    if manifest.name != path.stem or manifest.format != FORMAT:
        raise ModelError(
            f"is no manifest of {path.stem} in format {FORMAT}: it has {manifest.name!r}, "
            f"format {manifest.format}",
            path=path,
            hint=_HINT,
        )
    return manifest
