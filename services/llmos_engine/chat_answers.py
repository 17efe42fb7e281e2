"""How ``POST /v1/chat/completions`` words its answers."""

from collections.abc import Sequence

from llmos_api.types import (
    ChatChunk,
    ChatCompletion,
    ChatMessage,
    Choice,
    ChunkChoice,
    Delta,
    Logprobs,
    Role,
    TokenLogprob,
    TopLogprob,
    Usage,
)
from llmos_engine.answers import About, usage_of
from llmos_engine.backends.base import Place
from llmos_engine.jobs import Finished, Text


class ChatWording:
    """Messages of the assistant."""

    prefix = "chatcmpl-"

    def whole(
        self, about: About, texts: Sequence[Text], ends: Sequence[Finished]
    ) -> ChatCompletion:
        """Word the whole answer."""
        return ChatCompletion(
            id=about.id,
            created=about.created,
            model=about.model,
            choices=tuple(
                Choice(
                    index,
                    ChatMessage(Role.ASSISTANT, text.text),
                    end.reason,
                    logprobs(text.places),
                )
                for index, (text, end) in enumerate(zip(texts, ends, strict=True))
            ),
            usage=usage_of(ends),
        )

    def opening(self, about: About, index: int) -> ChatChunk:
        """Say who speaks."""
        return _chunk(about, ChunkChoice(index, Delta(role=Role.ASSISTANT, content="")))

    def piece(self, about: About, index: int, text: Text) -> ChatChunk:
        """Word a piece of the message."""
        delta = Delta(content=text.text)
        return _chunk(about, ChunkChoice(index, delta, None, logprobs(text.places)))

    def end(self, about: About, index: int, end: Finished) -> ChatChunk:
        """Say why it ends."""
        return _chunk(about, ChunkChoice(index, Delta(), end.reason))

    def usage(self, about: About, usage: Usage) -> ChatChunk:
        """Say how many tokens it took."""
        return ChatChunk(about.id, about.created, about.model, (), usage)


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
