"""The links by which the engine and people see the models of the store."""

import contextlib
from pathlib import Path

from llmos_models import manifest as manifests
from llmos_models.contents import Kind
from llmos_models.disk import TEMPORARY, Disk
from llmos_models.errors import ModelError
from llmos_models.manifest import Manifest
from llmos_models.store import Store

_BLOBS = "blobs"


class Links:
    """Makes the links follow the manifests."""

    def __init__(self, store: Store, disk: Disk) -> None:
        self._store = store
        self._disk = disk

    def settle(self) -> None:
        """Make all links what the manifests say, and take away what nobody has finished."""
        store = self._store
        for folder in (store.folder, store.manifests, store.partial):
            for path in folder.glob(f".*{TEMPORARY}"):
                self._disk.remove(path)
        names = set(store.names())
        for path in [*store.folder.iterdir()]:
            if self._is_ours(path) and path.name.removesuffix(".gguf") not in names:
                self._disk.remove(path)
        default = (_target(store.default) or "").removesuffix(".gguf")
        # One whose model is damaged stays: it counts again when that is back.
        is_of_store = default != "" and "/" not in default
        if is_of_store and default not in names and not store.default.exists():
            self._disk.remove(store.default)
        for name in names:
            with contextlib.suppress(ModelError):  # one that is damaged is told by `verify`
                self.show(manifests.read(store.manifest_path(name)))

    def show(self, manifest: Manifest) -> None:
        """Show a model; one that lacks a blob is hidden."""
        if self._store.missing(manifest):
            self.hide(manifest.name)
        elif manifest.kind is Kind.GGUF:
            self._hide_folder(manifest.name)
            target = f"{_BLOBS}/{self._store.blob(manifest.files[0].sha256).name}"
            if _target(self._store.link(manifest.name)) != target:
                self._disk.link(self._store.link(manifest.name), target)
        else:
            self._hide_link(manifest.name)
            self._show_folder(manifest)

    def hide(self, name: str) -> None:
        """Take the links of a model away."""
        self._hide_link(name)
        self._hide_folder(name)

    def default_leads_to(self, name: str) -> bool:
        """Whether a person has made ``name`` the default."""
        return _target(self._store.default) == f"{name}.gguf"

    def _hide_link(self, name: str) -> None:
        if self._is_ours(self._store.link(name)):
            self._disk.remove(self._store.link(name))

    def _hide_folder(self, name: str) -> None:
        if self._is_ours(self._store.folder / name):
            self._disk.remove(self._store.folder / name)

    def _show_folder(self, manifest: Manifest) -> None:
        folder = self._store.folder / manifest.name
        wanted = {
            file.path: f"../{_BLOBS}/{self._store.blob(file.sha256).name}"
            for file in manifest.files
        }
        there = {path.name: _target(path) for path in folder.iterdir()} if folder.is_dir() else {}
        if there == wanted:
            return
        new = self._store.folder / f".{manifest.name}{TEMPORARY}"
        self._disk.remove(new)
        self._disk.make_folder(new)
        for name, target in wanted.items():
            self._disk.link(new / name, target)
        # A folder with something in it cannot be renamed over: for a moment there is none.
        self._hide_folder(manifest.name)
        self._disk.move(new, folder)

    def _is_ours(self, path: Path) -> bool:
        """Whether a path is a link to a blob, or a folder of nothing else."""
        if path.is_symlink():
            return (_target(path) or "").startswith(f"{_BLOBS}/")
        if not path.is_dir() or path.name in manifests.RESERVED:
            return False
        return all((_target(one) or "").startswith(f"../{_BLOBS}/") for one in path.iterdir())


def _target(path: Path) -> str | None:
    """Where a link leads; None when it is none."""
    try:
        return str(path.readlink())
    except OSError:
        return None
