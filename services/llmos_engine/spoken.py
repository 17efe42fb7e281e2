"""Turns the tokens of an answer into the text that is shown, and says which tokens it has."""

from collections import deque
from collections.abc import Sequence

from llmos_engine.backends.base import Place, Token
from llmos_engine.jobs import Text
from llmos_engine.stops import StopFilter


class Spoken:
    """What is said of an answer: text up to a stop string, and the tokens that it is made of.

    A token is told with the text that holds its first byte: text can be held back, because it
    may turn out to be a stop string.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._filter = StopFilter(stops)
        self._waiting: deque[tuple[int, Place]] = deque()
        """Tokens that were not told yet, with the bytes before them."""
        self._made = 0
        self._shown = 0

    @property
    def stopped(self) -> bool:
        """Whether a stop string has come."""
        return self._filter.stopped

    def feed(self, token: Token) -> Text:
        """Take the next token; return what may be shown now."""
        if token.place is not None:
            self._waiting.append((self._made, token.place))
        self._made += len(token.text)
        return self._told(self._filter.feed(token.text))

    def finish(self) -> Text:
        """Return what was held back when the answer ends by itself."""
        shown = self._told(self._filter.finish())
        if self.stopped:
            return shown
        rest = tuple(place for _, place in self._waiting)
        self._waiting.clear()
        return shown + Text("", rest)

    def _told(self, text: str) -> Text:
        self._shown += len(text.encode())
        places = []
        while self._waiting and self._waiting[0][0] < self._shown:
            places.append(self._waiting.popleft()[1])
        return Text(text, tuple(places))
