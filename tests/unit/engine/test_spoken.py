"""Tokens and text of an answer, cut at stop strings, however the tokens are cut."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from llmos_engine.backends.base import Place, Token
from llmos_engine.jobs import Text
from llmos_engine.spoken import Spoken


def tokens(pieces: list[bytes]) -> list[Token]:
    return [Token(n, piece, Place(n, piece, -1.0)) for n, piece in enumerate(pieces)]


def said(pieces: list[bytes], stops: list[str]) -> tuple[str, list[int], bool]:
    """Return the text, the numbers of the tokens that were told, and whether a stop came."""
    spoken = Spoken(stops)
    whole = Text("")
    for token in tokens(pieces):
        whole += spoken.feed(token)
        if spoken.stopped:
            break
    else:
        whole += spoken.finish()
    return whole.text, [place.number for place in whole.places], spoken.stopped


def test_a_token_is_told_with_its_text() -> None:
    assert said([b"ab", b"c"], []) == ("abc", [0, 1], False)


def test_tokens_of_a_stop_string_are_not_told() -> None:
    assert said([b"a", b"EN", b"D", b"b"], ["END"]) == ("a", [0], True)


def test_a_token_that_is_shown_in_part_is_told() -> None:
    assert said([b"a", b"bEN", b"D"], ["END"]) == ("ab", [0, 1], True)


def test_what_only_looks_like_a_stop_string_is_told_later() -> None:
    spoken = Spoken(["END"])
    first, second, third = tokens([b"E", b"N", b"T"])
    assert spoken.feed(first) == Text("")
    assert spoken.feed(second) == Text("")
    whole = spoken.feed(third)
    assert (whole.text, len(whole.places)) == ("ENT", 3)


def test_a_character_in_two_tokens_is_told_with_both() -> None:
    assert said(["é".encode()[:1], "é".encode()[1:]], []) == ("é", [0, 1], False)


@given(
    st.text(max_size=40),
    st.lists(st.integers(0, 80), max_size=10),
    st.lists(st.text("abE", min_size=1, max_size=3), max_size=2),
)
def test_every_token_is_told_once_and_in_order_up_to_the_stop(
    text: str, cuts: list[int], stops: list[str]
) -> None:
    raw = text.encode()
    borders = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    pieces = [raw[a:b] for a, b in itertools.pairwise(borders)]
    shown, told, stopped = said(pieces, stops)
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    assert stopped == bool(found)
    assert shown == (text[: min(found)[1]] if found else text)
    assert told == list(range(len(told)))
    covered = sum(len(pieces[number]) for number in told)
    assert covered >= len(shown.encode())
    if not stopped:
        assert len(told) == len(pieces)
