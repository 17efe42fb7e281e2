"""How ``POST /v1/completions`` words its answers."""

import codecs
from collections import defaultdict
from collections.abc import Sequence

from llmos_api.completions import Completion, CompletionChoice, CompletionLogprobs
from llmos_api.types import ErrorBody, Usage
from llmos_engine.answers import usage_of
from llmos_engine.backends.base import Place
from llmos_engine.errors import Refused
from llmos_engine.jobs import Finished, Text
from llmos_engine.wording import About


class CompletionWording:
    """Texts that go on; the object belongs to one answer, and counts its characters."""

    prefix = "cmpl-"
    named: bool = False
    last: str | None = "[DONE]"

    def __init__(self) -> None:
        self._offsets: defaultdict[int, _Offsets] = defaultdict(_Offsets)

    def whole(self, about: About, texts: Sequence[Text], ends: Sequence[Finished]) -> Completion:
        """Word the whole answer."""
        choices = tuple(
            CompletionChoice(text.text, index, self._logprobs(index, text.places), end.reason)
            for index, (text, end) in enumerate(zip(texts, ends, strict=True))
        )
        return Completion(about.id, about.created, about.model, choices, usage_of(ends))

    def opening(self, about: About, index: int) -> Sequence[Completion]:
        """There is nothing to say before the text."""
        del about, index
        return ()

    def piece(self, about: About, index: int, text: Text) -> Sequence[Completion]:
        """Word a piece of the text."""
        logprobs = self._logprobs(index, text.places)
        return [_event(about, CompletionChoice(text.text, index, logprobs))]

    def end(self, about: About, index: int, end: Finished) -> Sequence[Completion]:
        """Say why it ends."""
        return [_event(about, CompletionChoice("", index, None, end.reason))]

    def usage(self, about: About, usage: Usage) -> Sequence[Completion]:
        """Say how many tokens it took."""
        return [Completion(about.id, about.created, about.model, (), usage)]

    def failure(self, about: About, error: Refused) -> Sequence[ErrorBody]:
        """Say what went wrong."""
        del about
        return [error.body]

    def _logprobs(self, index: int, places: Sequence[Place]) -> CompletionLogprobs | None:
        if not places:
            return None
        return CompletionLogprobs(
            tokens=tuple(place.text.decode(errors="replace") for place in places),
            token_logprobs=tuple(place.logprob for place in places),
            top_logprobs=tuple(_top(place) for place in places),
            text_offset=tuple(self._offsets[index].next(place.text) for place in places),
        )


def _event(about: About, choice: CompletionChoice) -> Completion:
    return Completion(about.id, about.created, about.model, (choice,))


def _top(place: Place) -> dict[str, float] | None:
    """The most probable tokens; the one that was said is among them, as OpenAI has it."""
    if place.logprob is None:
        return None
    # Two parts of characters look the same as text: the more probable one stays.
    best: dict[str, float] = {}
    for one in place.top:
        best.setdefault(one.text.decode(errors="replace"), one.logprob)
    best.setdefault(place.text.decode(errors="replace"), place.logprob)
    return best


class _Offsets:
    """Counts characters, of which tokens may be parts."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._characters = 0

    def next(self, piece: bytes) -> int:
        """Return where a token begins."""
        begin = self._characters
        self._characters += len(self._decoder.decode(piece))
        return begin
