"""Gets the files of a model into ``partial/``, whole and right."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmos_models.blobs import is_sound, quarantine
from llmos_models.disk import Disk
from llmos_models.errors import NoSpace, TransferFailed
from llmos_models.manifest import FileEntry
from llmos_models.meter import Meter
from llmos_models.offer import Offer, Piece
from llmos_models.partial import DigestKind, Mismatch, Partial
from llmos_models.store import Store

ROOM_TO_LEAVE: Final = 256 * 1024**2
"""Bytes that stay free for the rest of the machine: logs, and what people write."""
COPY: Final = "copy-"
"""How the names of files begin that nobody can go on with."""


@dataclass(frozen=True)
class Staged:
    """A file that is whole and right, and where it lies now."""

    entry: FileEntry
    place: Path


class Intake:
    """Gets files; ``meter`` hears of the bytes."""

    def __init__(self, store: Store, disk: Disk, meter: Meter) -> None:
        self._store = store
        self._disk = disk
        self._meter = meter

    def check_room(self, offer: Offer) -> None:
        """Raise NoSpace when what is still to come does not fit."""
        needed = sum(self._still_needed(piece) for piece in offer.pieces)
        free = self._disk.free(self._store.partial)
        if needed and needed + ROOM_TO_LEAVE > free:
            raise NoSpace(
                f"{offer.name} needs {_gb(needed)} more, and {self._store.folder} has {_gb(free)} "
                f"free, of which {_gb(ROOM_TO_LEAVE)} stay for the rest of the machine",
                hint="See what takes the room: llmosctl model list",
            )

    def _still_needed(self, piece: Piece) -> int:
        digest = piece.digest
        if digest and digest.kind is DigestKind.SHA256 and self._store.blob(digest.hex).exists():
            return 0
        partial = self._partial_path(piece)
        there = partial.stat().st_size if partial.exists() else 0
        return max(0, (piece.size or 0) - there)

    def _partial_path(self, piece: Piece) -> Path:
        name = str(piece.digest) if piece.digest else f"{COPY}{piece.path}"
        return self._store.partial / name

    def stage(self, piece: Piece) -> Staged:
        """Get one file, or take the blob that has its content.

        Raises:
            TransferFailed: it did not come whole; what can be gone on with is kept.
        """
        known = self._known(piece)
        if known is not None:
            return known
        path = self._partial_path(piece)
        while True:
            was_there = path.exists()
            try:
                return self._fetch(piece, path)
            except Mismatch as error:
                self._disk.remove(path)
                # What was there may be what is wrong: then the whole of it, once.
                if not was_there:
                    raise TransferFailed(str(error), hint="Nothing of it was kept.") from error
            except BaseException:
                if piece.digest is None:
                    self._disk.remove(path)  # nobody could tell what it is the beginning of
                raise

    def _known(self, piece: Piece) -> Staged | None:
        """The blob of that content, when there is one and it is still what it was."""
        if piece.digest is None or piece.digest.kind is not DigestKind.SHA256:
            return None
        blob = self._store.blob(piece.digest.hex)
        if not blob.exists():
            return None
        size = blob.stat().st_size
        with self._meter.phase(f"checking {piece.path}", size) as advance:
            if is_sound(blob, piece.digest.hex, size, advance):
                return Staged(FileEntry(piece.path, piece.digest.hex, size), blob)
        quarantine(self._store, self._disk, blob)
        return None

    def _fetch(self, piece: Piece, path: Path) -> Staged:
        with (
            self._meter.phase(piece.path, piece.size) as advance,
            Partial(
                path, name=piece.path, advance=advance, size=piece.size, digest=piece.digest
            ) as partial,
        ):
            if not partial.is_whole:
                piece.fetch(partial)
            digest = partial.finish()
            return Staged(FileEntry(piece.path, digest, partial.at), path)

    def throw_away(self, staged: Iterable[Staged]) -> None:
        """Keep nothing of files that turned out to be of no use."""
        for one in staged:
            if one.place.parent == self._store.partial:
                self._disk.remove(one.place)


def _gb(size: int) -> str:
    return f"{size / 10**9:.2f} GB"
