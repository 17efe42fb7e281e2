"""How much of a prompt fits into a step, by what steps have cost.

A step makes one token for each stream that decodes, and reads pieces of prompts beside. Reading
more makes the step longer, and whoever reads along waits for it. So a step may take only so many
times what it would take without, and how much that is follows from the steps before.
"""

from typing import Final

STRETCH: Final = 2.0
"""A step with a prompt in it takes at most so many times the time of one without, when a stream
of a better class than the prompt's is in it."""
FAIR_STRETCH: Final = 4.0
"""The same when the streams are of the same class: both get on."""
SMALLEST: Final = 8
"""Tokens of a prompt that are read in any case: it must get on, too. With fewer each one costs
more, because the weights are read for every step."""
_UNKNOWN: Final = 4 * SMALLEST
"""The same as long as nothing is known of what steps cost."""
_MEMORY: Final = 0.2
"""The share of the newest step in what is remembered."""


class Pace:
    """Learns what a token that is made and one that is read cost, in seconds."""

    def __init__(self) -> None:
        self._step: float | None = None
        self._read: float | None = None

    def room(self, streams: int, *, stretch: float | None, most: int) -> int:
        """Tokens of prompts for a step with ``streams`` decoding ones, at most ``most``.

        ``stretch`` None does not limit it.
        """
        if not streams or stretch is None:
            return most
        if self._step is None or self._read is None:
            return min(most, _UNKNOWN)
        fits = int((stretch - 1.0) * self._step / self._read) if self._read else most
        return min(most, max(SMALLEST, fits))

    def learn(self, streams: int, read: int, seconds: float) -> None:
        """Take in what a step with ``streams`` decoding ones and ``read`` prompt tokens took."""
        if read == 0 and streams:
            self._step = _mixed(self._step, seconds)
        elif read >= SMALLEST:
            alone = self._step if streams and self._step is not None else 0.0
            self._read = _mixed(self._read, max(0.0, seconds - alone) / read)


def _mixed(old: float | None, new: float) -> float:
    return new if old is None else old + _MEMORY * (new - old)
