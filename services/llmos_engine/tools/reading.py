"""What an answer says and what it calls, as far as calls were offered."""

from collections.abc import Sequence

from llmos_engine.tools.asked import Offer
from llmos_engine.tools.parser import CallParser, Piece
from llmos_engine.tools.values import Called


class Reading:
    """One answer: text only where nothing may be called, and one call where one was wanted."""

    def __init__(self, offer: Offer | None) -> None:
        self._parser = None if offer is None else CallParser(offer.names)
        self._several = offer is None or offer.several
        self._called = False

    def feed(self, text: str) -> Sequence[Piece]:
        """Take the next piece of the answer; return what is known by now."""
        if self._parser is None:
            return [text] if text else []
        return self._wanted(self._parser.feed(text))

    def finish(self) -> Sequence[Piece]:
        """Return what is left at the end of the answer."""
        return [] if self._parser is None else self._wanted(self._parser.finish())

    def _wanted(self, pieces: Sequence[Piece]) -> Sequence[Piece]:
        wanted: list[Piece] = []
        for piece in pieces:
            if isinstance(piece, Called):
                if self._called and not self._several:
                    continue
                self._called = True
            wanted.append(piece)
        return wanted
