"""Text is read back from the pixels of a text console, and never guessed."""

import gzip
import struct
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_image.vm.errors import MachineError
from llmos_image.vm.font import ConsoleFont
from llmos_image.vm.screen import UNKNOWN, Frame, read_text

BLACK, GREY, BLUE = b"\x00\x00\x00", b"\xaa\xaa\xaa", b"\x00\x00\xaa"
WIDTH, HEIGHT = 8, 16
# Each glyph is a letter drawn as its own code, in two lines that no cursor covers.
DRAWN = "".join(map(chr, range(0x20, 0x7F))) + "─│"


def pattern(index: int) -> list[int]:
    lines = [0] * HEIGHT
    if index:
        lines[3], lines[5] = index, 0x18
    return lines


def psf2(characters: str = DRAWN) -> bytes:
    glyphs = b"".join(bytes(pattern(number)) for number in range(len(characters)))
    header = (b"\x72\xb5\x4a\x86", 0, 32, 1, len(characters), HEIGHT, HEIGHT, WIDTH)
    table = b"".join(character.encode() + b"\xff" for character in characters)
    return struct.pack("<4sIIIIIII", *header) + glyphs + table


def psf1() -> bytes:
    glyphs = b"".join(bytes(pattern(n) if n < len(DRAWN) else [n % 256] * 16) for n in range(256))
    units: list[int] = []
    for number in range(256):
        units += [ord(DRAWN[number])] if number < len(DRAWN) else []
        # A sequence of characters after the single ones: not a character of its own.
        units += [0xFFFE, 0x41, 0x300, 0xFFFF]
    return b"\x36\x04\x02\x10" + glyphs + struct.pack(f"<{len(units)}H", *units)


FONT = ConsoleFont.from_psf(psf2())


def draw(rows: Sequence[str], *, ink: bytes = GREY, paper: bytes = BLACK) -> Frame:
    columns = max(len(row) for row in rows)
    pixels = bytearray()
    for row in rows:
        for line in range(HEIGHT):
            for character in row.ljust(columns):
                bits = pattern(DRAWN.index(character))[line]
                pixels += b"".join(ink if bits >> n & 1 else paper for n in range(7, -1, -1))
    return Frame(columns * WIDTH, len(rows) * HEIGHT, bytes(pixels))


@given(
    st.lists(st.text(alphabet=DRAWN, min_size=1, max_size=12), min_size=1, max_size=4),
    st.permutations([BLACK, GREY, BLUE]),
)
def test_what_was_drawn_is_read_back_in_any_colours(rows: list[str], colours: list[bytes]) -> None:
    frame = draw(rows, ink=colours[0], paper=colours[1])
    assert read_text(frame, FONT) == tuple(row.rstrip() for row in rows)


def test_reversed_text_is_read_too() -> None:
    frame = draw(["reversed"], ink=BLACK, paper=GREY)
    assert read_text(frame, FONT) == ("reversed",)


def test_a_cell_with_the_cursor_reads_as_the_character_under_it() -> None:
    frame = draw(["ab"])
    pixels = bytearray(frame.pixels)
    stride = frame.width * 3
    for line in (14, 15):
        pixels[line * stride : line * stride + WIDTH * 3] = GREY * WIDTH
    assert read_text(Frame(frame.width, frame.height, bytes(pixels)), FONT) == ("ab",)


def test_a_picture_that_is_not_text_is_not_guessed() -> None:
    frame = draw(["ab"])
    pixels = bytearray(frame.pixels)
    pixels[0:3] = GREY
    assert read_text(Frame(frame.width, frame.height, bytes(pixels)), FONT) == (f"{UNKNOWN}b",)


def test_three_colours_in_a_cell_are_not_text() -> None:
    frame = draw(["ab"])
    pixels = bytearray(frame.pixels)
    pixels[0:3] = BLUE
    assert read_text(Frame(frame.width, frame.height, bytes(pixels)), FONT) == (f"{UNKNOWN}b",)


def test_a_strip_that_is_no_whole_cell_is_left_out() -> None:
    frame = draw(["ab"])
    extra = Frame(frame.width, frame.height + 8, frame.pixels + BLACK * frame.width * 8)
    assert read_text(extra, FONT) == ("ab",)


@pytest.mark.parametrize("data", [psf2(), gzip.compress(psf2()), psf1()])
def test_every_kind_of_console_font_is_read(data: bytes) -> None:
    assert read_text(draw(["df -h │"]), ConsoleFont.from_psf(data)) == ("df -h │",)


def test_a_glyph_that_draws_several_characters_reads_as_the_plain_one() -> None:
    data = psf2(" A").removesuffix(b"A\xff") + "ΑA".encode() + b"\xff"
    font = ConsoleFont.from_psf(data)
    bits = font.glyph("Α")  # the Greek letter is the point
    assert bits is not None
    assert font.character(bits) == "A"


@given(st.binary(max_size=200))
def test_a_damaged_font_is_refused(rubbish: bytes) -> None:
    with pytest.raises(MachineError, match="console font"):
        ConsoleFont.from_psf(b"\x72\xb5\x4a\x86" + rubbish)


def test_a_font_that_is_cut_short_is_refused() -> None:
    with pytest.raises(MachineError, match="damaged"):
        ConsoleFont.from_psf(psf2()[:400])


def test_a_picture_survives_the_way_to_png_and_back() -> None:
    frame = draw(["png"])
    data = frame.png()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    start = data.index(b"IDAT") + 4
    rows = zlib.decompress(data[start:-16])
    stride = frame.width * 3 + 1
    lines = [rows[at + 1 : at + stride] for at in range(0, len(rows), stride)]
    assert b"".join(lines) == frame.pixels
    assert struct.unpack(">II", data[16:24]) == (frame.width, frame.height)


def test_a_picture_is_read_from_ppm_even_if_it_begins_with_blanks() -> None:
    pixels = b"\n \t" + b"x" * 3
    assert Frame.from_ppm(b"P6\n2 1\n255\n" + pixels) == Frame(2, 1, pixels)


@pytest.mark.parametrize("data", [b"", b"P5\n1 1\n255\nx", b"P6\n2 2\n255\nxyz"])
def test_what_is_not_a_whole_picture_is_refused(data: bytes) -> None:
    with pytest.raises(MachineError, match="screendump"):
        Frame.from_ppm(data)
