"""Says what was said to it: stands in for a model in tests, and only there.

It keeps the whole path but the model: files, queue, stop strings, limits, streaming. A
schema gets the smallest value that it accepts, with the last message in each string; where it
would hold only later, the message is said as it is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from llmos_engine.backends.base import (
    Asked,
    BackendOptions,
    Conversation,
    Feed,
    Likelihood,
    Needs,
    Outcome,
    Place,
    Progress,
    Prompt,
    Sampling,
    Shape,
    Token,
)
from llmos_engine.errors import InvalidRequest
from llmos_models.scan import ModelFile

BYTES: Final = 256
CONTEXT: Final = 4096
SLOTS: Final = 4
BATCH: Final = 256


class EchoModel:
    """A model whose tokens are the bytes of the text."""

    def __init__(self, context: int, slots: int = SLOTS) -> None:
        self.context = context
        self.device = "nothing"
        self.shape = Shape(slots=slots, capacity=context, batch=BATCH)
        self._last: dict[tuple[int, ...], str] = {}
        self._answers: dict[int, _Saying] = {}

    def prompt(self, asked: Asked) -> Prompt:
        """Return the bytes of all messages."""
        if isinstance(asked, Conversation):
            tokens = b"\n".join(message.text.encode() for message in asked.messages)
            self._last[tuple(tokens)] = asked.messages[-1].text
            return Prompt(tokens)
        content = asked.content
        tokens = content.encode() if isinstance(content, str) else b"".join(self.pieces(content))
        self._last[tuple(tokens)] = tokens.decode(errors="replace")
        return Prompt(tokens)

    def tokenize(self, text: str, *, special: bool = True, begin: bool = False) -> Sequence[int]:
        """Return the bytes of a text."""
        del special, begin
        return tuple(text.encode())

    def pieces(self, tokens: Sequence[int]) -> Sequence[bytes]:
        """Return the bytes, one by one."""
        if (highest := max(tokens, default=0)) >= BYTES:
            raise InvalidRequest(f"there is no token {highest}", param="tokens")
        return [bytes([token]) for token in tokens]

    def open(
        self, slot: int, tokens: Sequence[int], sampling: Sampling, *, anew: bool = False
    ) -> int:
        """Begin to say the last message, a byte a token."""
        del anew  # nothing is ever kept
        answer = self._last[tuple(tokens)]
        if sampling.constraint is not None and sampling.constraint.after is None:
            answer = _constrained(sampling.constraint.schema, answer)
        self._answers[slot] = _Saying(iter(answer.encode()), sampling.logprobs)
        return 0

    def run(self, feeds: Sequence[Feed]) -> Sequence[Outcome]:
        """Say a byte of each answer whose prompt is read."""
        return [
            Outcome(
                self._answers[feed.slot].next() if feed.makes else None,
                [_sure(byte, feed.top) for byte in feed.judged],
            )
            for feed in feeds
        ]

    def park(self, slot: int) -> object:
        """Put an answer aside."""
        return self._answers.pop(slot)

    def resume(self, slot: int, parked: object) -> None:
        """Go on with it."""
        self._answers[slot] = cast("_Saying", parked)

    def drop(self, parked: object) -> None:
        """Nothing to give back."""

    def end(self, slot: int) -> None:
        """Forget an answer."""
        self._answers.pop(slot, None)

    def close(self) -> None:
        """Nothing to give back."""


@dataclass
class _Saying:
    """An answer, and whether it is told how sure its bytes are."""

    rest: Iterator[int]
    logprobs: int | None

    def next(self) -> Token | None:
        byte = next(self.rest, None)
        if byte is None:
            return None
        place = None if self.logprobs is None else _sure(byte, self.logprobs)
        return Token(byte, bytes([byte]), place)


def _sure(byte: int, top: int) -> Place:
    """Nothing else could have been said: a probability of 1."""
    said = Likelihood(byte, bytes([byte]), 0.0)
    return Place(*said, top=(said,) * min(1, top))


class EchoBackend:
    """Loads any sound GGUF file without looking at its weights."""

    def __init__(self, options: BackendOptions) -> None:
        self._context = options.context or CONTEXT
        self._slots = options.slots or SLOTS

    def needs(self, file: ModelFile) -> Needs:
        """Nothing."""
        del file
        return Needs(0, 0)

    def load(self, file: ModelFile, progress: Progress) -> EchoModel:
        """Take the file as loaded."""
        del file
        progress(1.0)
        return EchoModel(self._context, self._slots)


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
