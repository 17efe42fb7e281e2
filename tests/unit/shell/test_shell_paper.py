"""The output of a command as it reaches the screen: text, colours, and nothing that acts."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_shell.paper import MAX_CHARS, MAX_COLUMNS, MAX_LINES, Look, Paper, Run
from llmos_shell.widgets.output import _wrapped


def paper(*pieces: bytes) -> Paper:
    made = Paper()
    for piece in pieces:
        made.feed(piece)
    return made


def text(made: Paper) -> list[str]:
    lines = [*made.lines, made.last]
    return ["".join(run.text for run in line) for line in lines]


def test_lines_are_lines() -> None:
    assert text(paper(b"one\r\ntwo\nthree")) == ["one", "two", "three"]


def test_a_carriage_return_writes_over_the_line() -> None:
    assert text(paper(b"10%\r20%\rdone\n")) == ["done", ""]
    assert text(paper(b"abcdef\rxy\n")) == ["xycdef", ""]


def test_an_erased_line_is_gone() -> None:
    assert text(paper(b"downloading\r\x1b[Kdone\n")) == ["done", ""]


def test_a_backspace_goes_back() -> None:
    assert text(paper(b"|\b/\b-\n")) == ["-", ""]
    assert text(paper(b"\b\bx")) == ["x"]


def test_tabs_stop_every_eight_columns() -> None:
    assert text(paper(b"a\tb\t\tc")) == ["a       b               c"]


def test_colours_are_kept() -> None:
    made = paper(b"\x1b[1;31mred\x1b[0m \x1b[38;5;208morange\x1b[38;2;1;2;3mrgb\x1b[m!")
    assert made.last == (
        Run("red", Look(colour=1, bold=True)),
        Run(" "),
        Run("orange", Look(colour=208)),
        Run("rgb", Look(colour="#010203")),
        Run("!"),
    )


ACTIONS = r"""
\x1b[2J
\x1b[H
\x1b]0;title\x07
\x1b]8;;http://x\x1b\\
\x1bP1$tx\x1b\\
\x1b[?25l
\x1bc
\x1b(B
\x1b[6n
\x1b[>c
\x1b7
\x07
\x00
\x0e
"""


@pytest.mark.parametrize("written", ACTIONS.split())
def test_what_would_act_on_the_terminal_is_dropped(written: str) -> None:
    sequence = written.encode().decode("unicode_escape").encode()
    assert text(paper(b"a" + sequence + b"b")) == ["ab"]


def test_control_characters_of_eight_bits_are_dropped() -> None:
    assert text(paper("a\x9b2Jb".encode())) == ["a2Jb"]


def test_a_program_that_wants_the_screen_is_noticed() -> None:
    assert paper(b"\x1b[?1049h").wants_screen
    assert not paper(b"\x1b[?25h").wants_screen


def test_a_flood_keeps_its_end_and_bounded_memory() -> None:
    made = paper(b"y\n" * 200_000, b"end\n")
    assert len(made.lines) <= MAX_LINES
    assert text(made)[-2] == "end"
    assert made.dropped + len(made.lines) == 200_001


def test_lines_without_an_end_are_broken_and_bounded() -> None:
    made = Paper()
    for _ in range(40):
        made.feed(b"x" * 100_000)
    assert sum(len(line) for line in text(made)) <= MAX_CHARS + MAX_COLUMNS
    assert max(len(line) for line in text(made)) <= MAX_COLUMNS


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert text(paper(b"\xff\xfe ok")) == ["\ufffd\ufffd ok"]


SCRAPS = [b"a", b"\n", b"\r", b"\x1b", b"[", b"31", b"m", b"K", b"]0;", b"\x07", b"\\", b"\xc3"]
BYTES = st.lists(st.sampled_from(SCRAPS) | st.binary(max_size=4), max_size=40).map(b"".join)


@given(BYTES)
def test_no_control_character_ever_reaches_the_screen(data: bytes) -> None:
    for line in text(paper(data)):
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", line)


@given(BYTES, st.lists(st.integers(0, 60), max_size=5))
def test_it_does_not_matter_where_the_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(places)]
    assert text(paper(*pieces)) == text(paper(data))


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])), st.integers(1, 20))
def test_wrapping_loses_nothing_and_fits(line: str, width: int) -> None:
    rows = list(_wrapped((Run(line),), width))
    if width > 1:
        assert "".join(run.text for row in rows for run in row) == line
    assert len(rows) >= 1
