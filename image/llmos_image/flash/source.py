"""The image as a stream of the disk's bytes, whatever file holds them."""

import hashlib
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from llmos_image import artifacts
from llmos_image.errors import UserError
from llmos_image.run import filtered

# What a pipe holds at most without a privilege.
_PIECE = 1024**2
_DISKS = (".raw", ".img")

# How to run a program that is not Python's own: its argv, made from the command.
Programs = Callable[[Sequence[str]], Sequence[str]]


class Compression(Enum):
    """What has to be undone, by the suffix of the file.

    By programs and not by Python's modules: zstd's is not in every Python that we support and
    would be one more dependency, xz's uses one core where xz(1) uses all.
    """

    NONE = ""
    ZSTD = ".zst"
    XZ = ".xz"

    @classmethod
    def of(cls, path: Path) -> "Compression":
        """By the file's suffix."""
        return next((kind for kind in cls if kind.value == path.suffix), cls.NONE)

    def command(self) -> Sequence[str]:
        """What turns standard input into the plain bytes; empty where they are plain."""
        match self:
            case Compression.NONE:
                return []
            case Compression.ZSTD:
                # Builders may compress with windows up to this size.
                return ["zstd", "--decompress", "--stdout", "--quiet", "--long=31"]
            case Compression.XZ:
                return ["xz", "--decompress", "--stdout", "--quiet", "--threads=0"]


@dataclass(frozen=True)
class Image:
    """A disk's bytes: ``pieces`` gives them anew each time, in pieces of any length."""

    pieces: Callable[[], Generator[bytes, None, None]]
    size: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """A file that holds an image. ``size`` (bytes) and ``sha256`` are those of the raw disk.

    They are those of ``manifest`` (the ``image.json`` beside it), where that tells of it.
    """

    path: Path
    compression: Compression
    programs: Programs
    size: int | None = None
    sha256: str | None = None
    manifest: Path | None = None

    @property
    def image(self) -> Image | None:
        """The image in it; none while its size or checksum is not known."""
        if self.size is None or self.sha256 is None:
            return None
        return Image(self.pieces, self.size, self.sha256)

    def measured(self, advance: Callable[[int], None]) -> Image:
        """The image in it, read once to learn what nobody wrote down."""
        digest, size = hashlib.sha256(), 0
        for piece in self.pieces():
            digest.update(piece)
            size += len(piece)
            advance(len(piece))
        return Image(self.pieces, size, digest.hexdigest())

    def pieces(self) -> Generator[bytes, None, None]:
        """The raw disk's bytes.

        Raises:
            BuildFailed: it cannot be decompressed; said at the end, after what could be.
            UserError: it cannot be read.
        """
        try:
            with self.path.open("rb", buffering=0) as file:
                if not (command := self.compression.command()):
                    while piece := file.read(_PIECE):
                        yield piece
                    return
                with filtered(self.programs(command), file) as pipe:
                    while piece := os.read(pipe.fileno(), _PIECE):
                        yield piece
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read: {error.strerror}") from None


def find(given: Path, programs: Programs) -> Source:
    """The image that a person named: a build's folder, or a disk image, compressed or not.

    Raises:
        UserError: there is none, or it is of a kind that no disk can take.
    """
    if given.is_dir():
        # A build's files are named after its folder, which may be given as '.' or by a link.
        return _described(_best_in(given.resolve()), programs)
    if not given.is_file():
        raise UserError(f"{given}: no such image", hint="See 'llmos-image list'.")
    raw = given.name.removesuffix(Compression.of(given).value)
    if not raw.endswith(_DISKS):
        raise UserError(
            f"{given}: is not a raw disk image",
            hint="It takes a build's folder, .raw, .raw.zst or .raw.xz.",
        )
    return _described(given, programs)


def _best_in(folder: Path) -> Path:
    """The build's disk in the form that is the quickest to read."""
    disk = artifacts.read(folder).disk
    for kind in Compression:
        path = disk.with_name(disk.name + kind.value)
        if path.is_file():
            return path
    raise UserError(
        f"{folder}: its disk image {disk.name} is missing, compressed ones too",
        hint="Is the download whole?",
    )


def _described(path: Path, programs: Programs) -> Source:
    kind = Compression.of(path)
    source = Source(path, kind, programs)
    if (path.parent / "image.json").is_file():
        facts = _facts_of(path.name.removesuffix(kind.value), path.parent)
        if facts:
            return replace(
                source,
                size=int(facts["size"]),
                sha256=str(facts["sha256"]),
                manifest=path.parent / "image.json",
            )
    # A raw file's length is the disk's; what a compressed one holds shows only inside it.
    return replace(source, size=path.stat().st_size) if kind is Compression.NONE else source


def _facts_of(raw: str, folder: Path) -> dict[str, Any] | None:
    """What ``image.json`` says of the raw disk; none where it tells of other files."""
    try:
        files = artifacts.read(folder).facts["files"]
        return next((f for f in files if f["name"] == raw and f["size"] and f["sha256"]), None)
    except (KeyError, TypeError):
        raise UserError(
            f"{folder / 'image.json'}: is not one of ours", hint="Is the download whole?"
        ) from None
