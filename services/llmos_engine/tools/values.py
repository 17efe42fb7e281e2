"""Reads what a model wrote for JSON: models write nearly JSON."""

import ast
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

MAX_CALL: Final = 64 * 1024
"""Characters of one call; more is text."""

_FENCE: Final = re.compile(r"\s*```(?:json|tool_call|python)?\s*\n?(.*?)\s*(?:```\s*)?", re.DOTALL)


class Value(NamedTuple):
    """A value, and where the text goes on after it."""

    value: Any
    end: int


class Called(NamedTuple):
    """The function that a model wants to call; ``arguments`` is JSON."""

    name: str
    arguments: str


def first_value(text: str, start: int = 0) -> Value | None:
    """Read the value that begins at ``start``; None when none does, or it is not whole."""
    begin = len(text) - len(text[start:].lstrip())
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(text, begin)
    except (ValueError, RecursionError):
        return _of_python(text, begin)
    return Value(value, end)


def calls_in(value: Any) -> list[Called]:
    """Return the calls that a value describes; none when it describes anything else."""
    if isinstance(value, list):
        found = [calls_in(one) for one in value]
        return [call for calls in found for call in calls] if all(found) else []
    if not isinstance(value, Mapping):
        return []
    inner = value.get("function")
    if isinstance(inner, Mapping):
        return calls_in(inner)
    name = value.get("name", inner)
    arguments = next(
        (value[key] for key in ("arguments", "parameters", "args", "input") if key in value), None
    )
    if not isinstance(name, str) or not name:
        return []
    if isinstance(arguments, str):  # JSON in a string, as on the wire
        read = first_value(arguments)
        arguments = read.value if read else None
    if not isinstance(arguments, Mapping):
        return []
    return [Called(name, json.dumps(arguments, ensure_ascii=False))]


def unfenced(text: str) -> str:
    """Take a block of Markdown off."""
    match = _FENCE.fullmatch(text)
    return match[1] if match else text


def _of_python(text: str, begin: int) -> Value | None:
    """Read a literal of Python, with its single quotes and its True, up to its last bracket."""
    end = max(text.rfind("}"), text.rfind("]")) + 1
    if text[begin : begin + 1] not in {"{", "["} or not begin < end <= begin + MAX_CALL:
        return None
    try:
        value = ast.literal_eval(text[begin:end])
        json.dumps(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return Value(value, end)
