"""Says what was said to it: stands in for a model in tests, and only there.

It keeps the whole path but the model: files, queue, stop strings, limits, streaming. A
schema gets the smallest value that it accepts, with the last message in each string.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from llmos_api.types import ChatMessage
from llmos_engine.backends.base import (
    BackendOptions,
    Feed,
    Made,
    Progress,
    Prompt,
    Sampling,
    Shape,
    Token,
)
from llmos_engine.errors import InvalidRequest
from llmos_models.scan import ModelFile

CONTEXT: Final = 4096
SLOTS: Final = 4
BATCH: Final = 256


class EchoModel:
    """A model whose tokens are the bytes of the text."""

    def __init__(self, context: int) -> None:
        self.context = context
        self.device = "nothing"
        self.shape = Shape(slots=SLOTS, capacity=context, batch=BATCH)
        self._last: dict[tuple[int, ...], str] = {}
        self._answers: dict[int, Iterator[int]] = {}

    def prompt(self, messages: Sequence[ChatMessage]) -> Prompt:
        """Return the bytes of all messages."""
        tokens = b"\n".join(message.text.encode() for message in messages)
        self._last[tuple(tokens)] = messages[-1].text
        return Prompt(tokens)

    def open(self, slot: int, tokens: Sequence[int], sampling: Sampling) -> int:
        """Begin to say the last message, a byte a token."""
        answer = self._last[tuple(tokens)]
        if sampling.constraint is not None:
            answer = _constrained(sampling.constraint.schema, answer)
        self._answers[slot] = iter(answer.encode())
        return 0

    def run(self, feeds: Sequence[Feed]) -> Sequence[Made]:
        """Say a byte of each answer whose prompt is read."""
        nexts = (next(self._answers[feed.slot], None) for feed in feeds if feed.makes)
        return [None if byte is None else Token(byte, bytes([byte])) for byte in nexts]

    def park(self, slot: int) -> object:
        """Put an answer aside."""
        return self._answers.pop(slot)

    def resume(self, slot: int, parked: object) -> None:
        """Go on with it."""
        self._answers[slot] = cast("Iterator[int]", parked)

    def drop(self, parked: object) -> None:
        """Nothing to give back."""

    def end(self, slot: int) -> None:
        """Forget an answer."""
        self._answers.pop(slot, None)

    def close(self) -> None:
        """Nothing to give back."""


class EchoBackend:
    """Loads any sound GGUF file without looking at its weights."""

    def __init__(self, options: BackendOptions) -> None:
        self._context = options.context or CONTEXT

    def load(self, file: ModelFile, progress: Progress) -> EchoModel:
        """Take the file as loaded."""
        del file
        progress(1.0)
        return EchoModel(self._context)


def _constrained(schema: Mapping[str, Any], text: str) -> str:
    try:
        return json.dumps(_smallest(schema, schema, text), ensure_ascii=False)
    except RecursionError:
        raise InvalidRequest(
            "the schema cannot be followed: a part of it refers to nothing but itself",
            param="response_format",
            code="unsupported_schema",
        ) from None


def _smallest(schema: Any, root: Mapping[str, Any], text: str) -> object:
    """Return the smallest value that the schema accepts."""
    if schema is True:
        return text
    if "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].split("/")[1:]:
            target = target[part]
        return _smallest(target, root, text)
    if "anyOf" in schema:
        return _smallest(schema["anyOf"][0], root, text)
    for keyword, values in (("const", [schema.get("const")]), ("enum", schema.get("enum"))):
        if keyword in schema:
            return values[0]
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    return _of_type(kinds[0] if isinstance(kinds, list) else kinds, schema, root, text)


def _of_type(kind: str, schema: Any, root: Mapping[str, Any], text: str) -> object:
    match kind:
        case "object":
            properties = schema.get("properties", {})
            names = schema.get("required", [])
            return {name: _smallest(properties.get(name, True), root, text) for name in names}
        case "array":
            least = schema.get("minItems", 0)
            return [_smallest(schema.get("items", True), root, text) for _ in range(least)]
        case "string":
            return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]
    return {"boolean": True, "null": None}.get(kind, 0)
