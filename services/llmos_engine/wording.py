"""How endpoints say what the engine answers: the interface, one implementation for each."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from llmos_api.types import Usage
from llmos_engine.errors import Refused
from llmos_engine.jobs import Finished, Text


class About(Protocol):
    """What every part of an answer repeats."""

    id: str
    created: int
    model: str


class Wording(Protocol):
    """How an endpoint says what the engine answers."""

    prefix: str
    """What the answer's name begins with."""
    named: bool
    """Whether events of a stream say their ``type`` beside their data too."""
    last: str | None
    """What ends a stream, if anything does beyond the last event."""

    def whole(
        self, about: About, texts: Sequence[Text], ends: Sequence[Finished]
    ) -> msgspec.Struct:
        """Word the whole answer, from the text and the end of each choice."""

    def opening(self, about: About, index: int) -> Sequence[msgspec.Struct]:
        """Word the beginning of a choice in a stream, if it has one."""

    def piece(self, about: About, index: int, text: Text) -> Sequence[msgspec.Struct]:
        """Word a piece of a choice in a stream; nothing when it cannot be told yet."""

    def end(self, about: About, index: int, end: Finished) -> Sequence[msgspec.Struct]:
        """Word the end of a choice in a stream."""

    def usage(self, about: About, usage: Usage) -> Sequence[msgspec.Struct]:
        """Word the number of tokens, after all choices, if they have not said it."""

    def failure(self, about: About, error: Refused) -> Sequence[msgspec.Struct]:
        """Word what went wrong in the middle of a stream."""
