"""Stop strings, across the borders of tokens and of characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_engine.stops import StopFilter

# Few letters, so that stop strings overlap with the text and with themselves.
TEXT = st.text("abü\n", max_size=30)
STOPS = st.lists(st.text("abü\n", min_size=1, max_size=4), max_size=3)


def run(data: bytes, stops: list[str], cuts: list[int]) -> tuple[str, bool]:
    text = StopFilter(stops)
    shown, at = "", 0
    for cut in [*sorted(cuts), len(data)]:
        shown += text.feed(data[at:cut])
        at = max(at, cut)
    return shown + text.finish(), text.stopped


@given(TEXT, STOPS, st.lists(st.integers(0, 60), max_size=8))
def test_the_answer_ends_before_the_first_stop_string(
    answer: str, stops: list[str], cuts: list[int]
) -> None:
    data = answer.encode()
    found = [(answer.find(stop) + len(stop), answer.find(stop)) for stop in stops if stop in answer]
    whole = min(found)[1] if found else len(answer)
    shown, stopped = run(data, stops, [min(cut, len(data)) for cut in cuts])
    # Cut into pieces, a stop string that ends first is found first, even if another one
    # began before it; what is shown never contains one, and without any it is everything.
    assert answer.startswith(shown)
    assert len(shown) >= whole
    assert not any(stop in shown for stop in stops)
    assert stopped or shown == answer


@given(TEXT, STOPS)
def test_byte_by_byte_shows_no_part_of_a_stop_string(answer: str, stops: list[str]) -> None:
    data = answer.encode()
    shown, stopped = run(data, stops, list(range(len(data))))
    assert stopped == any(stop in answer for stop in stops)
    assert not any(stop in shown for stop in stops)


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        ([b"one STO", b"P two"], "one "),
        ([b"one ST", b"OR two"], "one STOR two"),
        ([b"one SSTO", b"P"], "one S"),
        ([b"STOP"], ""),
        ([b"one", b" ST"], "one ST"),
    ],
)
def test_a_stop_string_across_tokens(pieces: list[bytes], shown: str) -> None:
    text = StopFilter(["STOP"])
    assert "".join(map(text.feed, pieces)) + text.finish() == shown


def test_a_character_across_tokens_is_shown_whole() -> None:
    text = StopFilter()
    euro = "€".encode()
    assert [text.feed(euro[:1]), text.feed(euro[1:2]), text.feed(euro[2:])] == ["", "", "€"]


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    text = StopFilter()
    assert text.feed(b"a\xff") + text.feed(b"\xe2\x82") + text.finish() == "a��"


def test_nothing_follows_a_stop_string() -> None:
    text = StopFilter(["\n"])
    assert text.feed(b"a\nb") == "a"
    assert (text.feed(b"c"), text.finish(), text.stopped) == ("", "", True)
