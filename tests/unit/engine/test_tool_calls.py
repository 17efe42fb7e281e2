"""Calls of tools as models write them, in pieces of any size."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_engine.tools.parser import MARKERS, CallParser
from llmos_engine.tools.values import Called

NAMES = frozenset({"weather", "alarm"})
ARGUMENTS = {"city": "Köln", "days": 2}
JSON = json.dumps({"name": "weather", "arguments": ARGUMENTS}, ensure_ascii=False)


def read(text: str, size: int | None = None) -> tuple[str, list[tuple[str, Any]]]:
    """Return the text and the calls of an answer that comes in pieces of ``size``."""
    parser = CallParser(NAMES)
    step = size or max(1, len(text))
    pieces = [
        piece for at in range(0, len(text), step) for piece in parser.feed(text[at : at + step])
    ]
    pieces += parser.finish()
    shown = "".join(piece for piece in pieces if isinstance(piece, str))
    calls = [(p.name, json.loads(p.arguments)) for p in pieces if isinstance(p, Called)]
    return shown, calls


ONE = [("weather", ARGUMENTS)]
PYTHON = [("alarm", {"on": True})]
XML = """<tool_call>
<function=weather>
<parameter=city>
Köln
</parameter>
<parameter=days>
2
</parameter>
</function>
</tool_call>"""
DEEPSEEK = f"""<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather
```json
{json.dumps(ARGUMENTS)}
```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"""


@pytest.mark.parametrize("size", [None, 1, 2, 7])
@pytest.mark.parametrize(
    ("answer", "text", "calls"),
    [
        ("Hello.", "Hello.", []),
        (f"<tool_call>\n{JSON}\n</tool_call>", "", ONE),
        (f"Let me see.\n<tool_call>{JSON}</tool_call>\n", "Let me see.", ONE),
        (f"<tool_call>{JSON}</tool_call>\n<tool_call>{JSON}</tool_call>", "", ONE * 2),
        (f"<tool_call>{JSON}", "", ONE),
        (f"<tool_call>```json\n{JSON}\n```</tool_call>", "", ONE),
        (
            "<tool_call>{'name': 'alarm', 'arguments': {'on': True}}</tool_call>",
            "",
            [("alarm", {"on": True})],
        ),
        (XML, "", ONE),
        (f"<function=weather>{json.dumps(ARGUMENTS)}</function>", "", ONE),
        (f'<|python_tag|>{{"name": "weather", "parameters": {json.dumps(ARGUMENTS)}}}', "", ONE),
        (f"<|python_tag|>{JSON}; {JSON}", "", ONE * 2),
        (f"[TOOL_CALLS][{JSON}, {JSON}]", "", ONE * 2),
        (f"[TOOL_CALLS]weather[ARGS]{json.dumps(ARGUMENTS)}", "", ONE),
        (f"[TOOL_CALLS]weather[CALL_ID]abc123def[ARGS]{json.dumps(ARGUMENTS)}", "", ONE),
        (f"<|tool_call|>[{JSON}]<|/tool_call|>", "", ONE),
        (DEEPSEEK, "", ONE),
        (JSON, "", ONE),
        (f"\n [{JSON}]\n", "", ONE),
        (f"```json\n{JSON}\n```", "", ONE),
        (f'{{"type": "function", "function": {JSON}}}', "", ONE),
        ('{"name": "alarm", "arguments": "{\\"at\\": 7}"}', "", [("alarm", {"at": 7})]),
        # These only look like calls.
        ('{"name": "Ann", "age": 5}', '{"name": "Ann", "age": 5}', []),
        ('{"name": "other", "arguments": {}}', '{"name": "other", "arguments": {}}', []),
        ('{"say": "hi"}', '{"say": "hi"}', []),
        ("[1, 2]", "[1, 2]", []),
        (f"Like this: {JSON}", f"Like this: {JSON}", []),
        ("a <tool_ b", "a <tool_ b", []),
        ("<tool_call>nothing</tool_call>", "<tool_call>nothing</tool_call>", []),
        ('<tool_call>{"name": "alarm", "argu', '<tool_call>{"name": "alarm", "argu', []),
        ("ends with <tool_cal", "ends with <tool_cal", []),
        ("  ", "  ", []),
    ],
)
def test_calls_are_found_and_all_else_is_text(
    answer: str, text: str, calls: list[tuple[str, Any]], size: int | None
) -> None:
    assert read(answer, size) == (text, calls)


def test_a_call_of_an_unknown_function_between_markers_is_told() -> None:
    # The client answers that there is no such function, and the model can try again.
    call = '<tool_call>{"name": "missing", "arguments": {}}</tool_call>'
    assert read(call) == ("", [("missing", {})])


def test_text_comes_as_soon_as_it_cannot_be_a_call() -> None:
    parser = CallParser(NAMES)
    assert parser.feed("Hello") == ["Hello"]
    assert parser.feed(" <") == []
    assert parser.feed("b>") == [" <b>"]
    assert CallParser(NAMES).feed('{"say": "h') == ['{"say": "h']


def test_a_call_comes_as_soon_as_it_is_whole() -> None:
    parser = CallParser(NAMES)
    assert parser.feed(f"<tool_call>{JSON}</tool_") == []
    [call] = parser.feed("call>")
    assert isinstance(call, Called)


def test_what_never_ends_is_given_out_as_text() -> None:
    text = "<tool_call>" + "x" * 200_000
    assert read(text, 1000) == (text, [])


SOUP = st.lists(
    st.sampled_from(
        [*sorted(MARKERS), JSON, "{", "}", '"', "[", "]", " ", "\n", "weather", "```json"]
    )
    | st.text(max_size=4),
    max_size=12,
).map("".join)


@given(SOUP, st.integers(1, 9))
def test_the_size_of_pieces_makes_no_difference(text: str, size: int) -> None:
    whole, pieces = read(text), read(text, size)
    assert pieces[1] == whole[1]
    assert pieces[0].split() == whole[0].split()


@given(SOUP)
def test_an_answer_without_calls_is_left_as_it_is(text: str) -> None:
    shown, calls = read(text)
    if not calls:
        assert shown == text
