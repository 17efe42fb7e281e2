"""Tries again what may work the next time: servers that are busy, lines that break."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from llmos_models.errors import TransferFailed

T = TypeVar("T")
TRIES: Final = 5
"""How often something fails in a row before it has failed."""
LONGEST_WAIT: Final = 60.0
"""Seconds; a server that asks for more gets no more from us."""


class Passing(Exception):
    """Did not work now; ``wait`` is in how many seconds the server wants to be asked again."""

    def __init__(self, what: str, *, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


@dataclass(frozen=True)
class Patience:
    """How a failure is waited out; ``on_wait`` hears of each one that is."""

    sleep: Callable[[float], None] = time.sleep
    tries: int = TRIES
    on_wait: Callable[[str], None] = lambda _what: None

    def __call__(self, action: Callable[[], T], *, progress: Callable[[], int] = lambda: 0) -> T:
        """Do ``action`` until it works; as long as ``progress`` changes, no try was in vain.

        Raises:
            TransferFailed: it never worked.
        """
        failed, before = 0, progress()
        while True:
            try:
                return action()
            except Passing as error:
                failed = failed + 1 if progress() == before else 1
                before = progress()
                if failed >= self.tries:
                    raise TransferFailed(f"{error}, {failed} times in a row") from error
                wait = min(LONGEST_WAIT, error.wait or 2.0 ** (failed - 1))
                self.on_wait(f"{error}; again in {wait:.0f} s")
                self.sleep(wait)


def retry_after(value: str | None, now: Callable[[], float] = time.time) -> float | None:
    """The seconds of a ``Retry-After`` header (RFC 9110, 10.2.3): a number, or a date."""
    if value is None:
        return None
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now())
    except ValueError:
        return None


def is_passing(status: int) -> bool:
    """Whether an HTTP status may be another one soon."""
    return status in {408, 429} or status >= 500
