"""A disk in memory, which can break as real ones do, and an image in memory for it."""

import hashlib
import struct
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from llmos_image.errors import FlashFailed
from llmos_image.flash.source import Image

GPT = b"EFI PART"


@dataclass
class MemoryDisk:
    """``before`` is called before each access with its verb and offset: it may raise.

    ``flip`` makes the byte there read back wrong.
    """

    size: int
    sector: int = 512
    name: str = "sdx"
    before: Callable[[str, int], None] = lambda _verb, _at: None
    flip: int | None = None
    log: list[tuple[str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # An old system: a table at both ends, and what must not be believed in between.
        self.data = bytearray(b"\xa5" * self.size)
        self.data[512:520] = GPT
        self.data[-512:-504] = GPT

    def write(self, at: int, data: bytes) -> None:
        self._access("write", at, len(data))
        self.data[at : at + len(data)] = data

    def zero(self, at: int, length: int) -> None:
        self._access("zero", at, length)
        self.data[at : at + length] = bytes(length)

    def read(self, at: int, length: int) -> bytes:
        self._access("read", at, length)
        found = bytearray(self.data[at : at + length])
        if self.flip is not None and at <= self.flip < at + length:
            found[self.flip - at] ^= 1
        return bytes(found)

    def flush(self) -> None:
        self.log.append(("flush", 0, 0))

    @property
    def has_a_table(self) -> bool:
        """Whether firmware would find a GPT at either end."""
        return GPT in {bytes(self.data[512:520]), bytes(self.data[-512:-504])}

    def _access(self, verb: str, at: int, length: int) -> None:
        self.before(verb, at)
        assert at % self.sector == 0
        assert length % self.sector == 0
        assert 0 <= at < at + length <= self.size
        self.log.append((verb, at, length))


def unplugged_at(count: int) -> Callable[[str, int], None]:
    """For ``before``: the disk is gone from its ``count``-th access on."""
    left = count

    def before(_verb: str, _at: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise FlashFailed("sdx: was unplugged, or its card taken out")

    return before


def disk_bytes(size: int, runs: Sequence[tuple[int, int]] = (), sector: int = 512) -> bytes:
    """A disk's bytes with a GPT's magic at both ends and zeros in ``runs`` (start, length)."""
    words = struct.pack("<512Q", *((i * 0x9E3779B97F4A7C15 + 1) % 2**64 for i in range(512)))
    data = bytearray((words * (size // len(words) + 1))[:size])
    for start, length in runs:
        data[start : start + length] = bytes(len(data[start : start + length]))
    data[sector : sector + 8] = GPT
    data[-512:-504] = GPT
    return bytes(data[:size])


def image_of(data: bytes, piece: int = 1_000_003) -> Image:
    """The image ``data``, which comes in pieces of ``piece`` bytes."""

    def pieces() -> Generator[bytes, None, None]:
        for at in range(0, len(data), piece):
            yield data[at : at + piece]

    return Image(pieces, len(data), hashlib.sha256(data).hexdigest())
