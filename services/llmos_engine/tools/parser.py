"""Finds calls of tools in an answer, while it comes.

Each family of models writes them in its own way. Known are

    <tool_call>{"name": …, "arguments": {…}}</tool_call>      Hermes, Qwen, SmolLM and many others
    <tool_call><function=NAME><parameter=KEY>…                Qwen's coders
    <function=NAME>{…}</function>                             Llama 3.1
    <|python_tag|>{"name": …, "parameters": {…}}              Llama 3.1 to 3.3
    [TOOL_CALLS][{…}, {…}], [TOOL_CALLS]NAME[ARGS]{…}         Mistral
    <|tool_call|>[{…}]                                        Granite, Phi
    <｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME … {…}        DeepSeek
    {"name": …, "parameters": {…}}                            an answer that is nothing else

What only looks like a call is text, and stays in the answer.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

from llmos_engine.stops import overlap
from llmos_engine.tools.values import MAX_CALL, Called, calls_in, first_value, unfenced

Piece = str | Called

_ENDS: Final = {
    "<tool_call>": "</tool_call>",
    "<function=": "</function>",
    "<|python_tag|>": None,
    "[TOOL_CALLS]": None,
    "<|tool_call|>": "<|/tool_call|>",
    "<｜tool▁calls▁begin｜>": "<｜tool▁calls▁end｜>",
}
"""What calls begin with, and end with; None lasts to the end of the answer."""

MARKERS: Final = frozenset([*_ENDS, *(end for end in _ENDS.values() if end)]) | {
    "[ARGS]",
    "[CALL_ID]",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁sep｜>",
}
"""Control tokens of some models that have to be seen, to find the calls between them."""

_FIRST_KEY: Final = re.compile(r"[\[{\s]*\{\s*[\"'](\w+)[\"']")
_KEYS: Final = frozenset({"name", "function", "type", "id", "arguments", "parameters"})
"""What the first member of a call can be."""

_XML: Final = re.compile(r"\s*<function=([^>\s]+)>(.*?)(?:</function>)?\s*", re.DOTALL)
_PARAMETER: Final = re.compile(r"<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
_MISTRAL: Final = re.compile(r"\s*([\w.-]+)(?:\[CALL_ID\][\w-]*)?(?:\[ARGS\])?\s*(?=\{)")
_DEEPSEEK: Final = re.compile(r"<｜tool▁call▁begin｜>(?:function)?<｜tool▁sep｜>([\w.-]+)\s*")


class CallParser:
    """Takes an answer piece by piece; returns its text and the calls in it, in their order.

    ``names`` are the functions that were offered: an answer that is bare JSON is a call only of
    one of these.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._held = ""
        self._opener: str | None = None
        self._blanks = ""
        """What stood between the text and the call that has begun."""
        self._begun = False
        """Whether anything but blanks has come."""
        self._called = False

    def feed(self, text: str) -> list[Piece]:
        """Take the next piece; return what is known by now."""
        self._held += text
        return list(self._known())

    def finish(self) -> list[Piece]:
        """Return what is left at the end of the answer."""
        held, self._held = self._held, ""
        opener, self._opener = self._opener, None
        if opener is not None:
            return self._calls_or_text(opener, held, "")
        calls = self._bare(held) if not self._begun else []
        if calls:
            return list(calls)
        # Blanks after calls are no answer.
        return [held] if held.strip() or (held and not self._called) else []

    def _known(self) -> Iterator[Piece]:
        while self._held:
            if self._opener is None:
                yield from self._text()
                if self._opener is None:
                    return
            else:
                end = _ENDS[self._opener]
                inside, found, rest = self._held.partition(end) if end else (self._held, "", "")
                if not found:
                    if len(self._held) > MAX_CALL:  # no call is that long
                        yield self._blanks + self._opener + self._held
                        self._opener, self._held = None, ""
                    return
                opener, self._opener, self._held = self._opener, None, rest
                yield from self._calls_or_text(opener, inside, found)

    def _text(self) -> Iterator[str]:
        """Give out the text before the next call, as far as it cannot be the beginning of one."""
        if not self._begun and self._may_be_bare():
            return
        opener = min(
            (opener for opener in _ENDS if opener in self._held), key=self._held.index, default=None
        )
        if opener is not None:
            text, _, self._held = self._held.partition(opener)
            self._opener, self._blanks = opener, text[len(text.rstrip()) :]
            text = text.rstrip()
        else:
            keep = max(overlap(self._held, opener) for opener in _ENDS)
            # Blanks too: when a call comes next they are not part of the text.
            text = self._held[: len(self._held) - keep].rstrip()
            self._held = self._held[len(text) :]
        if text:
            self._begun = True
            yield text

    def _may_be_bare(self) -> bool:
        """Whether the answer may be JSON and nothing else."""
        start = self._held.lstrip()
        if len(start) > MAX_CALL or any(start.startswith(opener) for opener in _ENDS):
            return False
        if not start or start[:7] == "```json"[: len(start)]:
            return True
        key = _FIRST_KEY.match(start)
        return start[0] in "{[" and (key is None or key[1] in _KEYS)

    def _bare(self, text: str) -> list[Called]:
        body = unfenced(text)
        value = first_value(body)
        if value is None or body[value.end :].strip(" \n;"):
            return []
        calls = calls_in(value.value)
        return calls if all(call.name in self._names for call in calls) else []

    def _calls_or_text(self, opener: str, inside: str, end: str) -> list[Piece]:
        calls = _calls(opener, inside)
        self._begun = True
        self._called = self._called or bool(calls)
        return list(calls) if calls else [self._blanks + opener + inside + end]


def _calls(opener: str, inside: str) -> list[Called]:
    match opener:
        case "<tool_call>":
            return _xml(inside) or _sequence(unfenced(inside))
        case "<function=":
            return _xml(opener + inside) or _named(inside.replace(">", "", 1))
        case "[TOOL_CALLS]":
            return _sequence(inside) or _named(inside)
        case "<｜tool▁calls▁begin｜>":
            return _deepseek(inside)
        case _:
            return _sequence(inside)


def _sequence(text: str) -> list[Called]:
    """Read values one after the other, with semicolons or commas between; all must be calls."""
    calls: list[Called] = []
    at = 0
    while text[at:].strip(" \n\t;,"):
        at += len(text[at:]) - len(text[at:].lstrip(" \n\t;,"))
        value = first_value(text, at)
        found = calls_in(value.value) if value else []
        if value is None or not found:
            return []
        calls += found
        at = value.end
    return calls


def _named(text: str) -> list[Called]:
    """Read names that are each followed by their arguments."""
    calls: list[Called] = []
    text = text.replace("[TOOL_CALLS]", " ")
    at = 0
    while match := _MISTRAL.match(text, at):
        value = first_value(text, match.end())
        if value is None or not isinstance(value.value, dict):
            return []
        calls.append(Called(match[1], json.dumps(value.value, ensure_ascii=False)))
        at = value.end
    return [] if text[at:].strip() else calls


def _xml(text: str) -> list[Called]:
    match = _XML.fullmatch(text)
    if match is None:
        return []
    parameters = _PARAMETER.findall(match[2])
    if not parameters:
        return _named(match[1] + match[2].strip()) if match[2].strip() else [Called(match[1], "{}")]
    return [Called(match[1], json.dumps({key: _typed(raw) for key, raw in parameters}))]


def _typed(raw: str) -> object:
    """A parameter without quotes: a number, a list and the like, or else a text."""
    try:
        value: object = json.loads(raw)
    except (ValueError, RecursionError):
        return raw
    return value


def _deepseek(text: str) -> list[Called]:
    calls: list[Called] = []
    for part in text.split("<｜tool▁call▁end｜>"):
        if not part.strip():
            continue
        match = _DEEPSEEK.search(part)
        value = first_value(unfenced(part[match.end() :])) if match else None
        if match is None or value is None or not isinstance(value.value, dict):
            return []
        calls.append(Called(match[1], json.dumps(value.value, ensure_ascii=False)))
    return calls
