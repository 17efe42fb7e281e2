"""Cuts an answer at the first stop string, wherever the borders of its tokens lie."""

import codecs
from collections.abc import Sequence


class StopFilter:
    """Turns the bytes of an answer into text that is safe to show.

    A character that is not whole yet is held back, and so is text that may turn out to be
    the beginning of a stop string; the stop string itself is never shown.
    """

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._stops = tuple(stops)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped = False

    def feed(self, data: bytes) -> str:
        """Take the next bytes; return what may be shown now."""
        return self._filter(self._decoder.decode(data))

    def finish(self) -> str:
        """Return what was held back when the answer ends by itself."""
        text = self._filter(self._decoder.decode(b"", final=True))
        held, self._held = self._held, ""
        return text + held

    def _filter(self, text: str) -> str:
        if self.stopped:
            return ""
        self._held += text
        # Of several the one that is whole first: so it does not depend on the borders of tokens.
        found = [(at + len(s), at) for s in self._stops if (at := self._held.find(s)) >= 0]
        if found:
            self.stopped = True
            shown, self._held = self._held[: min(found)[1]], ""
            return shown
        keep = max((overlap(self._held, stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown


def overlap(text: str, stop: str) -> int:
    """Return how much of the end of ``text`` is the beginning of ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
