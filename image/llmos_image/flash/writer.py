"""Putting an image on a disk so that at no moment a part of one could be booted.

The order: the old partition tables go first; then everything but the image's two ends is
written and read back; only then the last block (with the backup table, by which firmware may
repair the other) and, at the very last, the first MiB (with the table). Whenever it ends early
(a pulled stick, Ctrl-C, the end of the power), no partition table is on the disk, and firmware
finds nothing to start.

The backup GPT comes to lie where the image ends, not where the disk ends, and stays there:
systemd-repart moves it to the disk's end at the first boot, when it adds the data partition
(seen with systemd 257: it writes the table anew by libfdisk, which relocates it).
"""

import contextlib
import hashlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

from llmos_image.errors import FlashFailed, ImageError, Interrupted, UserError, VerifyFailed
from llmos_image.flash.meter import Meter
from llmos_image.flash.source import Image

BLOCK = 4 * 1024**2
# At both ends: GPT takes 34 sectors, ZFS's and RAID's labels up to 512 KiB at the end. What old
# file systems leave in between is overwritten, or in no partition until repart wipes it.
_WIPED = 1024**2
# No partition begins before it.
_HEAD = 1024**2
_GPT_MAGIC = b"EFI PART"
_ZEROS = bytes(BLOCK)


class Target(Protocol):
    """A disk that is open for us alone; see :class:`llmos_image.flash.device.BlockDevice`."""

    name: str
    size: int
    sector: int

    def write(self, at: int, data: bytes) -> None: ...
    def zero(self, at: int, length: int) -> None: ...
    def read(self, at: int, length: int) -> bytes: ...
    def flush(self) -> None: ...


def write(image: Image, target: Target, meter: Meter) -> None:
    """Write ``image`` to ``target``, and prove by reading back that it is there.

    Raises:
        UserError: the image cannot be for this disk; nothing was written.
        FlashFailed: it is not there; the message says in what state the disk is.
        Interrupted: the same, by the person.
    """
    _Flash(image, target, meter).run()


@dataclass
class _Flash:
    image: Image
    target: Target
    meter: Meter
    # What the disk is worth when it ends here; none while nothing was written.
    left: str | None = None

    def run(self) -> None:
        with self._telling_the_state():
            self._check()
            self.left = f"{self.target.name} may have lost what was on it"
            self._wipe()
            self.left = f"{self.target.name} is half written and does not boot: flash it again"
            ends = self._write_but_ends()
            self._compare_but(ends)
            self._finish(ends)

    def _check(self) -> None:
        """Refuse what could only become a disk that does not boot."""
        if self.image.size > self.target.size:
            raise UserError(
                f"{self.target.name}: has {self.target.size:,} bytes, the image {self.image.size:,}"
            )
        with contextlib.closing(_blocks(self.image)) as blocks:
            _, head = next(blocks, (0, b""))
        # A GPT begins with the second sector, so a table is for one size of sectors only.
        if not head.startswith(_GPT_MAGIC, self.target.sector):
            other = next((s for s in (512, 4096) if head.startswith(_GPT_MAGIC, s)), None)
            if other:
                raise UserError(
                    f"{self.target.name}: has sectors of {self.target.sector} bytes, "
                    f"the image is for {other}",
                    hint="No firmware would find its partitions. Take another disk.",
                )
            raise UserError("the image has no partition table (GPT): it is not a disk's")

    def _wipe(self) -> None:
        size = self.target.size
        self.target.zero(0, min(_WIPED, size))
        self.target.zero(max(0, size - _WIPED), min(_WIPED, size))
        self.target.flush()

    def _write_but_ends(self) -> dict[int, bytes]:
        """Write all but the two ends; return these by their places."""
        ends = {}
        with self.meter.phase("Write", self.image.size) as advance:
            for at, block in self._parts():
                if at in {0, self._last}:
                    ends[at] = block
                else:
                    self._put(at, block)
                advance(len(block))
            self.target.flush()
        return ends

    def _put(self, at: int, block: bytes) -> None:
        """Write a block, filled up with zeros to whole sectors."""
        block += bytes(-len(block) % self.target.sector)
        if block == _ZEROS[: len(block)]:
            self.target.zero(at, len(block))
        else:
            self.target.write(at, block)

    def _compare_but(self, ends: dict[int, bytes]) -> None:
        with self.meter.phase("Compare", self.image.size) as advance:
            for at, block in self._parts():
                if at not in ends:
                    self._compare(at, block)
                advance(len(block))

    def _finish(self, ends: dict[int, bytes]) -> None:
        try:
            for at in sorted(ends, reverse=True):
                self._put(at, ends[at])
                self.target.flush()
            for at, block in ends.items():
                self._compare(at, block)
        except BaseException:
            # What nobody has compared must not boot either.
            try:
                self._wipe()
            except ImageError:
                self.left = (
                    f"{self.target.name} is written, but its ends were not compared: flash it again"
                )
            raise

    def _compare(self, at: int, block: bytes) -> None:
        length = len(block) + -len(block) % self.target.sector
        if (found := self.target.read(at, length)[: len(block)]) != block:
            offset = at + _first_difference(block, found)
            raise FlashFailed(
                f"{self.target.name}: reads back something else than was written, "
                f"first at byte {offset:,}: it is worn out, or smaller than it says"
            )

    @property
    def _last(self) -> int:
        return (self.image.size - 1) // BLOCK * BLOCK

    def _parts(self) -> Generator[tuple[int, bytes], None, None]:
        """The image's blocks, the first one in two: its tables, and what lies behind them."""
        for at, block in self._proved():
            if at == 0 and len(block) > _HEAD:
                yield 0, block[:_HEAD]
                yield _HEAD, block[_HEAD:]
            else:
                yield at, block

    def _proved(self) -> Generator[tuple[int, bytes], None, None]:
        """The image's blocks; a failure before the end when they were not the right ones."""
        digest, size = hashlib.sha256(), 0
        with contextlib.closing(_blocks(self.image)) as blocks:
            for at, block in blocks:
                digest.update(block)
                size += len(block)
                if size > self.image.size:
                    break
                yield at, block
        if (size, digest.hexdigest()) != (self.image.size, self.image.sha256):
            raise VerifyFailed(
                f"the image is not the one that it was said to be: its {size:,} bytes have the "
                f"checksum {digest.hexdigest()}, not {self.image.size:,} bytes and "
                f"{self.image.sha256}"
            )

    @contextlib.contextmanager
    def _telling_the_state(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted(self.left or f"nothing was written to {self.target.name}") from None
        except ImageError as error:
            if self.left is None:
                raise
            raise FlashFailed(error.what, hint=f"{self.left}.") from None


def _blocks(image: Image) -> Generator[tuple[int, bytes], None, None]:
    """The image in whole blocks, each with its offset; only the last may be shorter."""
    at, rest = 0, bytearray()
    with contextlib.closing(image.pieces()) as pieces:
        for piece in pieces:
            rest += piece
            while len(rest) >= BLOCK:
                yield at, bytes(rest[:BLOCK])
                del rest[:BLOCK]
                at += BLOCK
    if rest:
        yield at, bytes(rest)


def _first_difference(one: bytes, other: bytes) -> int:
    """Where two blocks of one length differ first: found by halves, they are long."""
    low, high = 0, len(one)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if one[low:middle] != other[low:middle] else (middle, high)
    return low
