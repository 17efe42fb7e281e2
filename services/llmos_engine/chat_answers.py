"""How ``POST /v1/chat/completions`` words its answers."""

import secrets
import string
from collections import defaultdict
from collections.abc import Sequence

from msgspec import UNSET

from llmos_api.logprobs import Logprobs, TokenLogprob, TopLogprob
from llmos_api.tools import FunctionCall, ToolCall, ToolCallDelta
from llmos_api.types import (
    ChatChunk,
    ChatCompletion,
    ChatMessage,
    Choice,
    ChunkChoice,
    Delta,
    ErrorBody,
    FinishReason,
    Role,
    Usage,
)
from llmos_engine.answers import usage_of
from llmos_engine.backends.base import Place
from llmos_engine.errors import Refused
from llmos_engine.jobs import Finished, Text
from llmos_engine.tools.asked import Offer
from llmos_engine.tools.parser import Piece
from llmos_engine.tools.reading import Reading
from llmos_engine.wording import About


class ChatWording:
    """Messages of the assistant; the object belongs to one answer, and finds the calls in it."""

    prefix = "chatcmpl-"
    named: bool = False
    last: str | None = "[DONE]"

    def __init__(self, offer: Offer | None = None) -> None:
        self._calls: defaultdict[int, list[ToolCall]] = defaultdict(list)
        self._readings: defaultdict[int, Reading] = defaultdict(lambda: Reading(offer))

    def whole(
        self, about: About, texts: Sequence[Text], ends: Sequence[Finished]
    ) -> ChatCompletion:
        """Word the whole answer."""
        return ChatCompletion(
            id=about.id,
            created=about.created,
            model=about.model,
            choices=tuple(
                self._choice(index, text, end)
                for index, (text, end) in enumerate(zip(texts, ends, strict=True))
            ),
            usage=usage_of(ends),
        )

    def opening(self, about: About, index: int) -> Sequence[ChatChunk]:
        """Say who speaks."""
        return [_chunk(about, ChunkChoice(index, Delta(role=Role.ASSISTANT, content="")))]

    def piece(self, about: About, index: int, text: Text) -> Sequence[ChatChunk]:
        """Word a piece of the message, and the calls that it completes."""
        deltas = [self._delta(index, piece) for piece in self._readings[index].feed(text.text)]
        if text.places and not deltas:
            deltas = [Delta(content="")]  # how probable it was is told even so
        return [
            _chunk(about, ChunkChoice(index, delta, None, None if n else logprobs(text.places)))
            for n, delta in enumerate(deltas)
        ]

    def end(self, about: About, index: int, end: Finished) -> Sequence[ChatChunk]:
        """Say why it ends, after what was held back as a possible call."""
        rest = [self._delta(index, piece) for piece in self._readings[index].finish()]
        last = ChunkChoice(index, Delta(), self._reason(index, end))
        return [*(_chunk(about, ChunkChoice(index, delta)) for delta in rest), _chunk(about, last)]

    def usage(self, about: About, usage: Usage) -> Sequence[ChatChunk]:
        """Say how many tokens it took."""
        return [ChatChunk(about.id, about.created, about.model, (), usage)]

    def failure(self, about: About, error: Refused) -> Sequence[ErrorBody]:
        """Say what went wrong."""
        del about
        return [error.body]

    def _choice(self, index: int, text: Text, end: Finished) -> Choice:
        reading = self._readings[index]
        pieces = [*reading.feed(text.text), *reading.finish()]
        content = "".join(self._delta(index, piece).content or "" for piece in pieces)
        calls = tuple(self._calls[index])
        message = ChatMessage(
            Role.ASSISTANT, (content or None) if calls else content, calls or UNSET
        )
        return Choice(index, message, self._reason(index, end), logprobs(text.places))

    def _delta(self, index: int, piece: Piece) -> Delta:
        """Word a piece, and keep it when it is a call."""
        if isinstance(piece, str):
            return Delta(content=piece)
        calls = self._calls[index]
        call = ToolCall(_name(), FunctionCall(piece.name, piece.arguments))
        calls.append(call)
        return Delta(tool_calls=(ToolCallDelta(len(calls) - 1, call.id, call.function),))

    def _reason(self, index: int, end: Finished) -> FinishReason:
        stopped = end.reason is FinishReason.STOP
        return FinishReason.TOOL_CALLS if stopped and self._calls[index] else end.reason


def _name() -> str:
    """Make a name for a call: nine letters and digits, which is all that Mistral's models take."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(9))


def _chunk(about: About, choice: ChunkChoice) -> ChatChunk:
    return ChatChunk(about.id, about.created, about.model, (choice,))


def logprobs(places: Sequence[Place]) -> Logprobs | None:
    """Word how probable tokens were; None when nobody asked."""
    if not places:
        return None
    return Logprobs(
        tuple(
            TokenLogprob(
                token=place.text.decode(errors="replace"),
                # Each token of an answer follows its prompt.
                logprob=place.logprob or 0.0,
                bytes=tuple(place.text),
                top_logprobs=tuple(
                    TopLogprob(
                        token=one.text.decode(errors="replace"),
                        logprob=one.logprob,
                        bytes=tuple(one.text),
                    )
                    for one in place.top
                ),
            )
            for place in places
        )
    )
