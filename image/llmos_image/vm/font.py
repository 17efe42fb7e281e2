"""Fonts of the Linux text console: PSF files, versions 1 and 2, and glyphs back to characters.

Formats: https://www.win.tue.nl/~aeb/linux/kbd/font-formats-1.html
"""

import gzip
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from llmos_image.vm.errors import MachineError

_PSF1_MAGIC = b"\x36\x04"
_PSF1_512_GLYPHS = 0x01
_PSF1_HAS_UNICODE = 0x06
_PSF1_END, _PSF1_SEQUENCE = 0xFFFF, 0xFFFE

_PSF2_MAGIC = b"\x72\xb5\x4a\x86"
_PSF2_HEADER = struct.Struct("<4sIIIIIII")
_PSF2_HAS_UNICODE = 0x01
_PSF2_END, _PSF2_SEQUENCE = b"\xff", b"\xfe"


@dataclass(frozen=True)
class ConsoleFont:
    """``glyphs`` are bit maps, one integer each: the top left dot is the highest bit.

    ``characters`` maps each glyph's number to the characters that it draws.
    """

    width: int
    height: int
    glyphs: tuple[int, ...]
    characters: Mapping[int, tuple[str, ...]]

    @classmethod
    def from_psf(cls, data: bytes) -> "ConsoleFont":
        """Read a PSF font, compressed by gzip or not.

        Raises:
            MachineError: it is no PSF font with a table of characters, or is cut short.
        """
        try:
            if data.startswith(b"\x1f\x8b"):
                data = gzip.decompress(data)
            if data.startswith(_PSF1_MAGIC):
                return _read_psf1(data)
            if data.startswith(_PSF2_MAGIC):
                return _read_psf2(data)
        except (struct.error, IndexError, ValueError, EOFError, OSError) as error:
            raise MachineError(f"the console font is damaged: {error}") from None
        raise MachineError("the console font is not in the PSF format")

    def glyph(self, character: str) -> int | None:
        """The bit map that draws ``character``."""
        return self._by_character.get(character)

    def character(self, bits: int) -> str | None:
        """The character that the bit map ``bits`` draws."""
        return self._by_bits.get(bits)

    def character_under_cursor(self, bits: int) -> str | None:
        """The character that ``bits`` draws together with the text cursor."""
        drawn = (self._by_bits.get(bits ^ cursor) for cursor in self._cursors)
        return next((character for character in drawn if character is not None), None)

    @cached_property
    def _by_character(self) -> dict[str, int]:
        return {
            character: self.glyphs[number]
            for number, characters in self.characters.items()
            for character in characters
        }

    @cached_property
    def _by_bits(self) -> dict[int, str]:
        # Some glyphs draw several characters (A also Alpha): the lowest one is what was meant.
        falling = sorted(self._by_character.items(), reverse=True)
        return {bits: character for character, bits in falling}

    @cached_property
    def _cursors(self) -> tuple[int, ...]:
        """Bit maps of the kernel's cursors: it inverts the lowest lines of a cell."""
        heights = {2, self.height // 3, self.height // 2}
        return tuple((1 << self.width * lines) - 1 for lines in sorted(heights))


def _read_psf1(data: bytes) -> ConsoleFont:
    mode, height = data[2], data[3]
    if not mode & _PSF1_HAS_UNICODE:
        raise MachineError("the console font has no table of characters")
    count = 512 if mode & _PSF1_512_GLYPHS else 256
    glyphs = _glyphs(data[4:], count, width=8, height=height)
    table = data[4 + count * height :]
    units = struct.unpack(f"<{len(table) // 2}H", table[: len(table) // 2 * 2])
    entries: list[list[int]] = [[]]
    for unit in units:
        if unit == _PSF1_END:
            entries.append([])
        else:
            entries[-1].append(unit)
    characters = {}
    for number, entry in enumerate(entries[:count]):
        single = entry[: entry.index(_PSF1_SEQUENCE)] if _PSF1_SEQUENCE in entry else entry
        characters[number] = tuple(map(chr, single))
    return ConsoleFont(8, height, glyphs, characters)


def _read_psf2(data: bytes) -> ConsoleFont:
    _, _, offset, flags, count, size, height, width = _PSF2_HEADER.unpack_from(data)
    if not flags & _PSF2_HAS_UNICODE:
        raise MachineError("the console font has no table of characters")
    if size != (width + 7) // 8 * height:
        raise ValueError(f"a glyph of {width}x{height} does not have {size} bytes")
    glyphs = _glyphs(data[offset:], count, width=width, height=height)
    entries = data[offset + count * size :].split(_PSF2_END)
    characters = {
        number: tuple(entry.split(_PSF2_SEQUENCE)[0].decode("utf-8"))
        for number, entry in enumerate(entries[:count])
    }
    return ConsoleFont(width, height, glyphs, characters)


def _glyphs(data: bytes, count: int, *, width: int, height: int) -> tuple[int, ...]:
    size = (width + 7) // 8 * height
    if len(data) < count * size:
        raise ValueError(f"{count} glyphs of {size} bytes do not fit in {len(data)} bytes")
    return tuple(_bits(data[at : at + size], width, height) for at in range(0, count * size, size))


def _bits(data: bytes, width: int, height: int) -> int:
    stride = len(data) // height
    bits = 0
    for line in _lines(data, stride):
        bits = bits << width | int.from_bytes(line, "big") >> (stride * 8 - width)
    return bits


def _lines(data: bytes, stride: int) -> Iterable[bytes]:
    return (data[at : at + stride] for at in range(0, len(data), stride))
