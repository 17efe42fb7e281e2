"""Finds the models: GGUF files in the model directories.

``default.gguf`` names the default; it may be a link to another file of the directories,
and then goes by that file's name. A later directory wins over an earlier one.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmos_api.types import Model
from llmos_engine.errors import GgufError, ModelError, ModelNotFound
from llmos_engine.gguf import Header, read_header

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


class ModelStore:
    """The model directories. Headers are read again only when a file has changed."""

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

    def find(self, name: str | None) -> ModelFile:
        """Return the model of that name; None or ``default`` ask for the default.

        Raises :class:`~llmos_engine.errors.ModelNotFound`, and
        :class:`~llmos_engine.errors.ModelError` when there is no default.
        """
        catalogue = self.scan()
        if name is not None and name in catalogue.models:
            return catalogue.models[name]
        if name not in {None, DEFAULT_NAME}:
            raise ModelNotFound(str(name), sorted(catalogue.models))
        if catalogue.default is None:
            raise self._no_default(catalogue)
        return catalogue.models[catalogue.default]

    def _no_default(self, catalogue: Catalogue) -> ModelError:
        if catalogue.faults and not catalogue.models:
            return catalogue.faults[0]
        where = self.directories[-1] if self.directories else ADDED
        if catalogue.models:
            names = ", ".join(sorted(catalogue.models))
            return ModelError(
                f"no model is the default (available: {names}): "
                f"link one of them as {where / 'default.gguf'}"
            )
        return ModelError(f"there is no model: put one at {where / 'default.gguf'}")


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
        target = path.resolve(strict=True)
        # A link within the directories is another name of a model that is listed anyway.
        inside = target.suffix == ".gguf" and target.parent in {d.resolve() for d in directories}
        return (target if inside else path).stem, Signature.of(target if inside else path)
    except OSError as error:
        raise GgufError(f"cannot be read: {error.strerror}", path=path) from error


def _checked(signature: Signature) -> Header | GgufError:
    try:
        header = read_header(signature.path)
    except GgufError as error:
        return error
    template = header.text("tokenizer.chat_template") or ""
    if len(template) > MAX_TEMPLATE:
        return GgufError(
            f"tokenizer.chat_template has {len(template)} characters (at most {MAX_TEMPLATE})",
            path=signature.path,
        )
    if header.text("general.architecture") is None:
        return GgufError("has no general.architecture", path=signature.path)
    return header
