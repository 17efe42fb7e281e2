"""Server-sent events, cut at every place where a socket may cut them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_api import sse

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1)


@given(st.lists(TEXT, max_size=6), st.data())
def test_events_survive_any_cut(events: list[str], data: st.DataObject) -> None:
    stream = b"".join(sse.encode(event) for event in events)
    parser, found = sse.EventParser(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += parser.feed(stream[:size])
        stream = stream[size:]
    assert found == events


@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_bytes_break_the_parser_and_no_cut_changes_what_it_finds(raw: bytes, cut: int) -> None:
    whole, parts = sse.EventParser(), sse.EventParser()
    assert whole.feed(raw) == parts.feed(raw[:cut]) + parts.feed(raw[cut:])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_three_line_ends_are_understood(end: str) -> None:
    stream = f"data: one{end}{end}data: two{end}{end}".encode()
    # A lone CR at the very end may still become a CRLF, so something has to follow it.
    assert sse.EventParser().feed(stream + b": more") == ["one", "two"]


def test_lines_of_one_event_are_joined() -> None:
    assert sse.EventParser().feed(b"data: a\ndata: b\n\n") == ["a\nb"]
    assert sse.EventParser().feed(sse.encode("a\nb")) == ["a\nb"]


def test_comments_and_other_fields_are_skipped() -> None:
    stream = sse.encode_comment("still there") + b"event: x\nid: 1\ndata:a\n\n"
    assert sse.EventParser().feed(stream) == ["a"]


def test_an_event_without_data_is_none() -> None:
    assert sse.EventParser().feed(b"\n\nevent: x\n\n") == []


@pytest.mark.parametrize("piece", [b"x" * 2**20, b"data: " + b"x" * 2**20 + b"\n"])
def test_what_has_no_end_is_refused(piece: bytes) -> None:
    parser = sse.EventParser()
    for _ in range(sse.MAX_EVENT // len(piece)):
        parser.feed(piece)
    with pytest.raises(sse.EventTooLong):
        _ = [parser.feed(piece) for _ in range(2)]


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists))
def test_json_comes_back_as_it_was(value: object) -> None:
    data = msgspec.json.encode(value)
    assert sse.encode_json(data, "kind") == sse.encode(data.decode(), "kind")
    assert sse.EventParser().feed(sse.encode_json(data)) == [data.decode()]
