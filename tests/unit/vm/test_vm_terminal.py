"""What a person sees on the terminal that the driver keeps."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_image.vm.terminal import Terminal, plain_text

PIECES = st.sampled_from(
    [
        b"hello",
        b"\r\n",
        "Größe ✓".encode(),
        b"\x1b[2J\x1b[H",
        b"\x1b[1;31mred\x1b[0m",
        b"\x1b[6n",
        b"\x1b[?25l",
        b"\x1b[?2026h",
        b"\x1b[=3h",
        b"\x1b[!p",
        b"\x1b[>4;2m",
        b"\x1b]0;title\x07",
        b"\x1b]11;?\x1b\\",
        b"\x1bP+q544e\x1b\\",
        b"\x1b(B",
        b"\x1b F",
        b"\x1b7\x1b[5;5Hx\x1b8",
    ]
)


def shown(data: bytes) -> list[str]:
    terminal = Terminal(40, 5)
    terminal.feed(data)
    return [row for row in terminal.rows if row]


def test_text_is_shown_where_it_was_written() -> None:
    assert shown(b"one\r\ntwo\x1b[5;1Hlast") == ["one", "two", "last"]


def test_what_is_cleared_is_gone() -> None:
    assert shown(b"old\x1b[2J\x1b[Hnew") == ["new"]


@pytest.mark.parametrize(
    "sequence",
    [
        pytest.param(b"\x1b[=3h", id="the-firmwares-mode"),
        pytest.param(b"\x1b[!p", id="soft-reset"),
        pytest.param(b"\x1b[>4;2m", id="xterms-key-modes"),
        pytest.param(b"\x1b[?4m", id="xterms-query-of-them"),
        pytest.param(b"\x1b[?2026$p", id="query-of-a-mode"),
        pytest.param(b"\x1b]0;a title\x07", id="title"),
        pytest.param(b"\x1b]104\x1b\\", id="palette"),
        pytest.param(b"\x1bP+q544e\x1b\\", id="query-of-a-capability"),
        pytest.param(b"\x1b[2 q", id="shape-of-the-cursor"),
        pytest.param(b"\x1b F", id="seven-bit-controls"),
        pytest.param(b"\x1b[38:2:1:2:3m", id="colour-with-colons"),
        pytest.param(b"\x1b[1;2;3A", id="too-many-parameters"),
    ],
)
def test_control_sequences_leave_no_litter(sequence: bytes) -> None:
    assert shown(b"a" + sequence + b"b") == ["ab"]


def test_the_terminal_says_where_the_cursor_is() -> None:
    terminal = Terminal(80, 24)
    assert terminal.feed(b"\x1b[999;999H\x1b[6n") == b"\x1b[24;80R"


def test_the_terminal_says_what_it_is() -> None:
    assert Terminal().feed(b"\x1b[c") == b"\x1b[?6c"


def test_an_answer_is_given_once() -> None:
    terminal = Terminal()
    terminal.feed(b"\x1b[6n")
    assert terminal.feed(b"more") == b""


def test_a_stray_escape_does_not_hold_back_what_follows() -> None:
    assert shown(b"\x1b\xc3\xa9!") == ["é!"]


def test_a_string_that_never_ends_does_not_silence_the_terminal() -> None:
    assert any("x" in row for row in shown(b"\x1b]" + b"x" * 5000))


def test_a_log_reads_without_control_sequences() -> None:
    assert plain_text(b"\x1b[0;32m  OK  \x1b[0m Started\r\n\x1b]0;t\x07$ ") == "  OK   Started\n$ "


@given(st.lists(PIECES), st.lists(st.integers(1, 60)))
def test_how_the_bytes_are_cut_does_not_matter(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(pieces)
    whole, cut = Terminal(40, 5), Terminal(40, 5)
    answers = whole.feed(data)
    cut_answers, at = b"", 0
    for length in [*cuts, len(data) + 1]:
        cut_answers += cut.feed(data[at : at + length])
        at += length
    assert cut.rows == whole.rows
    assert cut_answers == answers


@given(st.binary(max_size=400))
def test_no_bytes_whatever_break_the_terminal(data: bytes) -> None:
    assert len(Terminal(20, 4).feed(data)) >= 0


@given(st.lists(st.one_of(PIECES, st.binary(max_size=6)), max_size=30))
def test_no_mix_of_sequences_and_rubbish_breaks_the_terminal(pieces: list[bytes]) -> None:
    terminal = Terminal(20, 4)
    for piece in pieces:
        terminal.feed(piece)
    # A combining character takes no column of its own.
    widths = [sum(not unicodedata.combining(sign) for sign in row) for row in terminal.rows]
    assert all(width <= 20 for width in widths)
