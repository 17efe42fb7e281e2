"""Who hears how far long work is: what is shown of it is the caller's matter."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

Advance = Callable[[int], None]
"""Hears of each piece of bytes, and less than nothing when some were thrown away."""


class Meter(Protocol):
    """Hears of bytes."""

    def phase(self, name: str, total: int | None) -> contextlib.AbstractContextManager[Advance]:
        """The block is the phase ``name`` of ``total`` bytes, if that is known."""


class Silent:
    """Shows nothing."""

    @contextlib.contextmanager
    def phase(self, name: str, total: int | None) -> Iterator[Advance]:
        """See :class:`Meter`."""
        del name, total
        yield lambda _count: None
