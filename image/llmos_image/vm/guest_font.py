"""Runs in the guest: prints the font of the text console as a PSF2 file, in Base64.

The kernel's own answer, so the text on the screen can be read whatever font the image has.
It is sent over as text and needs nothing but Python; ioctls: console_codes(4), ioctl_console(2).
"""

import base64
import ctypes
import fcntl
import os
import struct
import sys

_KDFONTOP = 0x4B72
_KD_FONT_OP_GET = 1
_GIO_UNIMAP = 0x4B66
_KERNEL_LINES = 32
_MOST_GLYPHS = 512
_MOST_PAIRS = 65535


class _FontOp(ctypes.Structure):
    _fields_ = (
        ("op", ctypes.c_uint),
        ("flags", ctypes.c_uint),
        ("width", ctypes.c_uint),
        ("height", ctypes.c_uint),
        ("count", ctypes.c_uint),
        ("data", ctypes.c_void_p),
    )


class _UnimapDesc(ctypes.Structure):
    _fields_ = (("count", ctypes.c_ushort), ("entries", ctypes.c_void_p))


def font(console: int) -> bytes:
    """The font of an open console, as a PSF2 file."""
    most_bytes = _MOST_GLYPHS * _KERNEL_LINES * 4
    data = ctypes.create_string_buffer(most_bytes)
    # The kernel refuses fonts that are larger than the buffer it is told of.
    request = _FontOp(_KD_FONT_OP_GET, 0, 32, _KERNEL_LINES, _MOST_GLYPHS, ctypes.addressof(data))
    fcntl.ioctl(console, _KDFONTOP, request)
    size = (request.width + 7) // 8 * request.height
    # The kernel pads each glyph to 32 lines.
    padded = (request.width + 7) // 8 * _KERNEL_LINES
    glyphs = b"".join(data.raw[n * padded : n * padded + size] for n in range(request.count))
    header = struct.pack(
        "<4sIIIIIII",
        *(b"\x72\xb5\x4a\x86", 0, 32, 1),
        *(request.count, size, request.height, request.width),
    )
    return header + glyphs + _table(console, request.count)


def _table(console: int, glyphs: int) -> bytes:
    data = ctypes.create_string_buffer(_MOST_PAIRS * 4)
    request = _UnimapDesc(_MOST_PAIRS, ctypes.addressof(data))
    fcntl.ioctl(console, _GIO_UNIMAP, request)
    entries = [b""] * glyphs
    for code, glyph in struct.iter_unpack("<HH", data.raw[: request.count * 4]):
        if glyph < glyphs and not 0xD800 <= code <= 0xDFFF:
            entries[glyph] += chr(code).encode()
    return b"".join(entry + b"\xff" for entry in entries)


if __name__ == "__main__":
    tty = os.open("/dev/tty1", os.O_RDWR | os.O_NOCTTY)
    sys.stdout.write(base64.b64encode(font(tty)).decode("ascii"))
