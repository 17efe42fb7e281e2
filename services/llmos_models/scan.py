"""Finds the models: GGUF files in the model directories.

``default.gguf`` names the default; it may be a link to another name of the directories, and
then goes by that. A later directory wins over an earlier one. Any other link is a model of its
own: those of the store lead to a blob, which has no name.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmos_api.types import Model
from llmos_models.errors import GgufError, ModelError
from llmos_models.gguf import Header, read_header

DEFAULT_NAME: Final = "default"
SHIPPED: Final = Path("/usr/lib/llmos-models")
ADDED: Final = Path("/var/lib/llmos/models")

MAX_TEMPLATE: Final = 256 * 1024
"""Bytes that a chat template may have; the longest known ones have some 30 KB."""


@dataclass(frozen=True)
class Signature:
    """Tells whether a file is still the one that was looked at."""

    path: Path
    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> "Signature":
        """Look at the file; raises :class:`OSError`."""
        stat = path.stat()
        return cls(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True)
class ModelFile:
    """A file that is sound as far as its header tells."""

    id: str
    signature: Signature
    header: Header

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.signature.path

    @property
    def chat_template(self) -> str | None:
        """The Jinja template that the file carries: untrusted code."""
        return self.header.text("tokenizer.chat_template")

    @property
    def wire(self) -> Model:
        """The model as ``GET /v1/models`` shows it."""
        meta = {
            key: self.header.as_text(key) for key in self.header.values if key.startswith("llmos.")
        }
        created = self.signature.modified_ns // 10**9
        return Model(id=self.id, created=created, owned_by="llmos", meta=meta)


@dataclass(frozen=True)
class Catalogue:
    """The models at one moment, and why some files are none."""

    models: dict[str, ModelFile]
    default: str | None
    faults: tuple[ModelError, ...]


class Scanner:
    """Looks at the model directories. Headers are read again only when a file has changed."""

    def __init__(self, directories: Sequence[Path] = (SHIPPED, ADDED)) -> None:
        # Absolute, because the service works in another directory than it was started in.
        self.directories = tuple(directory.absolute() for directory in directories)
        self._known: dict[Signature, Header | GgufError] = {}

    def scan(self) -> Catalogue:
        """Look at the directories; unsound files are left out and told in ``faults``."""
        models: dict[str, ModelFile] = {}
        faults: list[ModelError] = []
        default: str | None = None
        known: dict[Signature, Header | GgufError] = {}
        for path in (path for directory in self.directories for path in _files(directory)):
            try:
                name, signature = _identify(path, self.directories)
                header = self._known.get(signature) or _checked(signature)
            except GgufError as error:
                faults.append(error)
                continue
            known[signature] = header
            if isinstance(header, GgufError):
                faults.append(header)
                continue
            models[name] = ModelFile(name, signature, header)
            default = name if path.stem == DEFAULT_NAME else default
        self._known = known
        if default is None and len(models) == 1:
            default = next(iter(models))
        return Catalogue(models, default, tuple(faults))


def _files(directory: Path) -> list[Path]:
    """List the GGUF files, ``default.gguf`` last; a directory that is missing has none."""
    try:
        entries = [Path(entry.path) for entry in os.scandir(directory)]
    except OSError:
        return []
    files = [path for path in entries if path.suffix == ".gguf" and path.is_file()]
    return sorted(files, key=lambda path: (path.stem == DEFAULT_NAME, path.name))


def _identify(path: Path, directories: tuple[Path, ...]) -> tuple[str, Signature]:
    try:
        path = _own_name(path, {directory.resolve() for directory in directories})
        return path.stem, Signature.of(path)
    except OSError as error:
        raise GgufError(f"cannot be read: {error.strerror}", path=path) from error


def _own_name(path: Path, directories: set[Path]) -> Path:
    """Follow links as long as they lead to another name in the directories.

    Such a link is another name of a model that is listed anyway. Not all the way: the name
    itself may be a link to a blob.
    """
    while path.is_symlink():  # not for ever: the caller has seen that it ends at a file
        target = path.parent / path.readlink()
        if target.suffix != ".gguf" or target.parent.resolve() not in directories:
            break
        path = target.parent.resolve() / target.name
    return path


def read_model_header(path: Path) -> Header:
    """Read the header of a file that the engine would load.

    Raises :class:`~llmos_models.errors.GgufError`.
    """
    header = read_header(path)
    template = header.text("tokenizer.chat_template") or ""
    if len(template) > MAX_TEMPLATE:
        raise GgufError(
            f"tokenizer.chat_template has {len(template)} characters (at most {MAX_TEMPLATE})",
            path=path,
        )
    if header.text("general.architecture") is None:
        raise GgufError("has no general.architecture", path=path)
    return header


def _checked(signature: Signature) -> Header | GgufError:
    try:
        return read_model_header(signature.path)
    except GgufError as error:
        return error
