"""The picture on the display, and the text of a text console in it."""

import re
import struct
import zlib
from collections import Counter
from dataclasses import dataclass

from llmos_image.vm.errors import MachineError
from llmos_image.vm.font import ConsoleFont

_BYTES_A_PIXEL = 3
_PPM_HEADER = re.compile(rb"P6\s+(\d+)\s+(\d+)\s+255\s")
UNKNOWN = "\ufffd"


@dataclass(frozen=True)
class Frame:
    """A picture: ``pixels`` holds rows from the top, 3 bytes (red, green, blue) a pixel."""

    width: int
    height: int
    pixels: bytes

    @classmethod
    def from_ppm(cls, data: bytes) -> "Frame":
        """Read a binary PPM (https://netpbm.sourceforge.net/doc/ppm.html) as QEMU writes it.

        Raises:
            MachineError: it is something else, or cut short.
        """
        header = _PPM_HEADER.match(data)
        if header is None:
            raise MachineError("the screendump is not a PPM picture of 8 bits a colour")
        frame = cls(int(header[1]), int(header[2]), data[header.end() :])
        if len(frame.pixels) != frame.width * frame.height * _BYTES_A_PIXEL:
            raise MachineError("the screendump is cut short")
        return frame

    def png(self) -> bytes:
        """The picture as a PNG file (https://www.w3.org/TR/png/)."""
        stride = self.width * _BYTES_A_PIXEL
        rows = b"".join(
            b"\0" + self.pixels[at : at + stride] for at in range(0, len(self.pixels), stride)
        )
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(*chunk) for chunk in chunks)

    def cell(self, x: int, y: int, width: int, height: int) -> tuple[bytes, ...]:
        """Rows of pixels of the rectangle whose top left corner is at ``x``, ``y``."""
        first = (y * self.width + x) * _BYTES_A_PIXEL
        stride = self.width * _BYTES_A_PIXEL
        length = width * _BYTES_A_PIXEL
        return tuple(
            self.pixels[at : at + length] for at in range(first, first + height * stride, stride)
        )


def read_text(frame: Frame, font: ConsoleFont) -> tuple[str, ...]:
    """The rows of a text console that fills ``frame``, without trailing blanks.

    Each cell is compared with the font's glyphs, dot by dot, whatever its two colours are; a
    cell that holds none of them reads as U+FFFD. No guess is ever made.
    """
    seen: dict[tuple[bytes, ...], str] = {}
    rows = []
    for y in range(0, frame.height - font.height + 1, font.height):
        row = []
        for x in range(0, frame.width - font.width + 1, font.width):
            cell = frame.cell(x, y, font.width, font.height)
            if cell not in seen:
                seen[cell] = _character(cell, font)
            row.append(seen[cell])
        rows.append("".join(row).rstrip())
    return tuple(rows)


def _character(cell: tuple[bytes, ...], font: ConsoleFont) -> str:
    colours = Counter(_dots(b"".join(cell))).most_common()
    if len(colours) == 1:
        return " "
    if len(colours) > 2:
        return UNKNOWN
    # Most glyphs have more paper than ink, so the usual case is tried first.
    maps = [_bits(cell, paper) for paper, _ in colours]
    for look_up in (font.character, font.character_under_cursor):
        for bits in maps:
            if (character := look_up(bits)) is not None:
                return character
    return UNKNOWN


def _bits(cell: tuple[bytes, ...], paper: bytes) -> int:
    bits = 0
    for dot in _dots(b"".join(cell)):
        bits = bits << 1 | (dot != paper)
    return bits


def _dots(row: bytes) -> list[bytes]:
    return [row[at : at + _BYTES_A_PIXEL] for at in range(0, len(row), _BYTES_A_PIXEL)]


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
