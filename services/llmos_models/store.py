"""The store of models: blobs named by their content, manifests, and links for the engine.

    /var/lib/llmos/models/
      blobs/sha256-HEX     the files, read-only
      manifests/NAME.json  what a model is made of: what is written here is so
      NAME.gguf            link to a blob: what the engine sees
      NAME/                a safetensors model: a folder of links to blobs
      default.gguf         link to NAME.gguf, or to a shipped model
      .lock                held by who writes
      partial/             files on their way in
      quarantine/          blobs that are not what they were

This module reads, and asks nobody; ``change.py`` writes, one at a time. Whatever a crash leaves
is either still as before, or the manifests say what is to be done and the next writer does it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from llmos_models import manifest as manifests
from llmos_models.contents import Facts, header_facts
from llmos_models.errors import BadAsk, ModelError
from llmos_models.manifest import FileEntry, Manifest
from llmos_models.scan import ADDED, SHIPPED, Catalogue, Scanner


class Origin(StrEnum):
    """Whose a model is."""

    SHIPPED = "shipped"
    STORE = "store"
    UPDATE = "update"
    BY_HAND = "by hand"


@dataclass(frozen=True)
class Listed:
    """A model as a person sees it in the list; ``fault`` says why it cannot be used."""

    name: str
    origin: Origin
    size: int
    facts: Facts
    is_default: bool = False
    manifest: Manifest | None = None
    fault: str | None = None


class Store:
    """The store in ``folder``, beside the models of the image in ``shipped``."""

    def __init__(self, folder: Path = ADDED, *, shipped: Path = SHIPPED) -> None:
        self.folder = folder.absolute()
        self.shipped = shipped.absolute()
        self.blobs = self.folder / "blobs"
        self.manifests = self.folder / "manifests"
        self.partial = self.folder / "partial"
        self.quarantine = self.folder / "quarantine"
        self.default = self.folder / "default.gguf"
        self.updates = self.folder.parent / "model-versions"

    def blob(self, sha256: str) -> Path:
        """Where a file of that content lies."""
        return self.blobs / f"sha256-{sha256}"

    def link(self, name: str) -> Path:
        """What the engine finds a GGUF model by."""
        return self.folder / f"{name}.gguf"

    def manifest_path(self, name: str) -> Path:
        """Where the manifest of a model lies."""
        return self.manifests / f"{name}.json"

    def names(self) -> list[str]:
        """The models that have a manifest, readable or not."""
        return sorted(path.stem for path in self.manifests.glob("[!.]*.json"))

    def find(self, name: str) -> Manifest | None:
        """The manifest of a model; None when the store has no such model.

        Raises:
            ModelError: the manifest is damaged.
        """
        path = self.manifest_path(name)
        return manifests.read(path) if name in self.names() else None

    def get(self, name: str) -> Manifest:
        """The manifest of a model.

        Raises:
            BadAsk: there is no such model, or it is not of the store.
            ModelError: the manifest is damaged.
        """
        found = self.find(name)
        if found is not None:
            return found
        other = next((one for one in self.listed() if one.name == name), None)
        if other is None:
            known = ", ".join(one.name for one in self.listed()) or "none"
            raise BadAsk(f"no model {name!r} (there are: {known})")
        where = {
            Origin.SHIPPED: "part of the system",
            Origin.UPDATE: "kept up to date with the system",
        }.get(other.origin, "not of the store: it was put there by hand")
        raise BadAsk(f"{name} is {where}; it can be the default, and nothing else")

    def missing(self, manifest: Manifest) -> list[str]:
        """The files of a model that have no blob, or one of another size."""
        return [file.path for file in manifest.files if not self._has(file)]

    def _has(self, file: FileEntry) -> bool:
        blob = self.blob(file.sha256)
        return blob.is_file() and blob.stat().st_size == file.size

    def listed(self) -> list[Listed]:
        """All models of the machine, by name."""
        default = self.default_name()
        return sorted(self._listed(default), key=lambda one: one.name)

    def faults(self) -> list[str]:
        """Files of no use that lie where the engine looks for models."""
        return [str(fault) for fault in self._scan().faults]

    def default_name(self) -> str | None:
        """The model that answers who names none."""
        return self._scan().default

    def unfinished(self) -> int:
        """Bytes of downloads that can be gone on with."""
        return sum(path.stat().st_size for path in self.partial.glob("[!.]*") if path.is_file())

    def quarantined(self) -> int:
        """Bytes of blobs that are not what they were."""
        return sum(path.stat().st_size for path in self.quarantine.glob("*"))

    def _scan(self) -> Catalogue:
        return Scanner([self.shipped, self.folder]).scan()

    def _listed(self, default: str | None) -> Iterator[Listed]:
        names = self.names()
        for name in names:
            yield self._of_store(name, is_default=name == default)
        for name, file in self._scan().models.items():
            if name not in names:
                facts, size = header_facts(file.header), file.signature.size
                origin = self._origin(file.path)
                yield Listed(name, origin, size, facts, is_default=name == default)

    def _origin(self, path: Path) -> Origin:
        if path.parent in {self.shipped, self.shipped.resolve()}:
            return Origin.SHIPPED
        return Origin.UPDATE if path.resolve().parent == self.updates else Origin.BY_HAND

    def _of_store(self, name: str, *, is_default: bool) -> Listed:
        try:
            manifest = manifests.read(self.manifest_path(name))
        except ModelError as error:
            return Listed(name, Origin.STORE, 0, Facts(), fault=str(error))
        missing = self.missing(manifest)
        return Listed(
            name,
            Origin.STORE,
            manifest.size,
            manifest.facts,
            is_default=is_default,
            manifest=manifest,
            fault=f"damaged, without {', '.join(missing)}" if missing else None,
        )
