"""Changes the store: adds, removes, pins and names models. One writer at a time."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from llmos_models import manifest as manifests
from llmos_models.contents import Facts, Kind, folder_facts, gguf_facts, plain, refuse_pickle
from llmos_models.disk import Disk
from llmos_models.errors import BadAsk, ModelError
from llmos_models.intake import COPY, Intake
from llmos_models.links import Links
from llmos_models.lock import locked
from llmos_models.manifest import Manifest, check_file_name, check_name
from llmos_models.meter import Meter
from llmos_models.offer import Offer
from llmos_models.partial import DigestKind
from llmos_models.scan import Scanner
from llmos_models.store import Store


@dataclass(frozen=True)
class World:
    """What tests put others in the place of."""

    disk: Disk = field(default_factory=Disk)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@contextlib.contextmanager
def changing(
    store: Store, world: World | None = None, *, on_wait: Callable[[str], None] | None = None
) -> Iterator["Change"]:
    """The one who may change ``store``; what an earlier one left half done is done first.

    Raises:
        StoreBusy: somebody else does, and there is no ``on_wait`` to say so before waiting.
    """
    world = world or World()
    for folder in (store.folder, store.blobs, store.manifests, store.partial, store.quarantine):
        world.disk.make_folder(folder)
    with locked(store.folder / ".lock", on_wait=on_wait):
        change = Change(store, world)
        change.settle()
        yield change


class Change:
    """See :func:`changing`."""

    def __init__(self, store: Store, world: World) -> None:
        self.store = store
        self.disk = world.disk
        self.now = world.now
        self.links = Links(store, world.disk)

    def settle(self) -> None:
        """Do what a writer that was cut short has left to do."""
        for path in self.store.partial.glob(f"{COPY}*"):
            self.disk.remove(path)
        self.links.settle()

    def add(self, offer: Offer, meter: Meter, *, replace: bool = False) -> Manifest:
        """Bring a model in; return its manifest. One that is there with the same content stays.

        Raises:
            BadAsk: the name is wrong, or taken by another model and not to be replaced.
            NoSpace: it does not fit.
            FormatError: its files are not sound; nothing of them is kept.
            TransferFailed: it did not arrive; what did is kept for the next try.
        """
        check_name(offer.name)
        for piece in offer.pieces:
            check_file_name(piece.path)
            refuse_pickle(piece.path)
        before = self._before(offer, replace=replace)
        intake = Intake(self.store, self.disk, meter)
        intake.check_room(offer)
        staged = [intake.stage(piece) for piece in offer.pieces]
        try:
            facts = _facts(offer.kind, {one.entry.path: one.place for one in staged})
            now = self.now()
            manifest = Manifest(
                name=offer.name,
                kind=offer.kind,
                source=plain(offer.source),
                files=tuple(one.entry for one in staged),
                facts=msgspec.structs.replace(facts, licence=facts.licence or offer.licence),
                imported=now,
                verified=now,
                pinned=before.pinned if before else False,
            )
            if before and before.files != manifest.files and not replace:
                raise _taken(offer.name)
        except ModelError:
            intake.throw_away(staged)
            raise
        # By their places: two files of a model may have the same content.
        for place, sha256 in {one.place: one.entry.sha256 for one in staged}.items():
            if place.parent != self.store.blobs:
                self.disk.move(place, self.store.blob(sha256))
                # The damaged one of earlier is of no more use to anybody.
                self.disk.remove(self.store.quarantine / self.store.blob(sha256).name)
        self._write(manifest)
        self.links.show(manifest)
        if before and before.files != manifest.files:
            self.collect()
        return manifest

    def remove(self, name: str, *, force: bool = False) -> int:
        """Take a model away; return how many bytes that has freed.

        Raises:
            BadAsk: there is no such model, or it is pinned or the default and not forced.
        """
        path = self.store.manifest_path(name)
        if name not in self.store.names():
            self.store.get(name)  # says why not
        if not force:
            self._check_removable(name)
        self.disk.remove(path)
        self.links.hide(name)
        if self.links.default_leads_to(name):
            self.disk.remove(self.store.default)
        return self.collect()

    def pin(self, name: str, *, pinned: bool) -> None:
        """Protect a model from being removed, or no longer.

        Raises:
            BadAsk: there is no such model in the store.
        """
        self._write(msgspec.structs.replace(self.store.get(name), pinned=pinned))

    def make_default(self, name: str) -> None:
        """Let ``name`` answer who names no model: one of the store, by hand, or shipped.

        Raises:
            BadAsk: there is no such model, or it is of a kind that the engine does not load.
        """
        default = self.store.default
        if default.exists() and not default.is_symlink():
            raise BadAsk(
                f"{default} is a file and no link: it was put there by hand",
                hint=f"Take it in first: llmosctl model import {default} --name NAME",
            )
        found = Scanner([self.store.shipped, self.store.folder]).scan().models.get(name)
        if found is None:
            manifest = self.store.get(name)
            if manifest.kind is not Kind.GGUF:
                raise BadAsk(f"{name} is a {manifest.kind.value} model: the engine loads GGUF only")
            raise BadAsk(f"{name} is damaged: pull or import it again first")
        if Scanner([self.store.shipped]).scan().default == name:
            self.disk.remove(default)  # also when an update of it is linked here
        elif self.store.link(name).exists():
            self.disk.link(default, f"{name}.gguf")
        else:
            self.disk.link(default, str(self.store.shipped / f"{name}.gguf"))

    def collect(self) -> int:
        """Remove the blobs that no manifest names; return their bytes.

        None is removed while a manifest cannot be read: it might name them.
        """
        named = set()
        for name in self.store.names():
            try:
                manifest = manifests.read(self.store.manifest_path(name))
            except ModelError:
                return 0
            named |= {self.store.blob(file.sha256) for file in manifest.files}
        freed = 0
        for path in self.store.blobs.iterdir():
            if path not in named:
                freed += path.stat().st_size
                self.disk.remove(path)
        return freed

    def mark_verified(self, manifest: Manifest) -> None:
        """Note that all files of a model were read just now and are right."""
        self._write(msgspec.structs.replace(manifest, verified=self.now()))

    def _write(self, manifest: Manifest) -> None:
        self.disk.write(self.store.manifest_path(manifest.name), manifests.encode(manifest))

    def _before(self, offer: Offer, *, replace: bool) -> Manifest | None:
        """The model that has the name now."""
        name, store = offer.name, self.store
        if name not in store.names():
            if os.path.lexists(store.link(name)) or os.path.lexists(store.folder / name):
                raise BadAsk(
                    f"{name}: there is such a file in {store.folder} that is not of the store",
                    hint="Give the new one another --name.",
                )
            if name in Scanner([store.shipped]).scan().models:
                raise BadAsk(f"{name} is a shipped model: give the new one another --name")
            return None
        before = store.get(name) if not replace else _readable(store, name)
        if before and not replace and not _may_be_same(before, offer):
            raise _taken(name)
        return before

    def _check_removable(self, name: str) -> None:
        if self.store.get(name).pinned:
            raise BadAsk(
                f"{name} is pinned",
                hint=f"llmosctl model pin --off {name}, or remove it by --force",
            )
        if self.links.default_leads_to(name):
            raise BadAsk(
                f"{name} is the default",
                hint="Choose another one first (llmosctl model default), or remove it by --force.",
            )


def _facts(kind: Kind, files: Mapping[str, Path]) -> Facts:
    if kind is Kind.SAFETENSORS:
        return folder_facts(files)
    ((name, path),) = files.items()
    return gguf_facts(path, name)


def _may_be_same(manifest: Manifest, offer: Offer) -> bool:
    """Whether the offer can have the same content, as far as it tells before it is fetched."""
    known = {file.path: file for file in manifest.files}
    return known.keys() == {piece.path for piece in offer.pieces} and all(
        piece.size in {None, known[piece.path].size}
        and (
            piece.digest is None
            or piece.digest.kind is not DigestKind.SHA256
            or piece.digest.hex == known[piece.path].sha256
        )
        for piece in offer.pieces
    )


def _readable(store: Store, name: str) -> Manifest | None:
    with contextlib.suppress(ModelError):
        return store.get(name)
    return None


def _taken(name: str) -> BadAsk:
    return BadAsk(
        f"there is another model {name}",
        hint="Give this one another --name, or put it in the place of the other by --replace.",
    )
