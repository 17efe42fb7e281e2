"""Responses that a next request may go on with, or ask for again."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import msgspec

from llmos_api.responses import Response
from llmos_api.types import ChatMessage
from llmos_engine.errors import NotFound

ROOM: Final = 16 * 1024 * 1024
"""Bytes of conversations that are kept; the longest unused ones go first."""


@dataclass(frozen=True)
class Remembered:
    """A response, and the conversation that it ends, without the instructions."""

    response: Response
    messages: tuple[ChatMessage, ...]
    size: int


class Memory:
    """What was answered, until the service ends or its room is wanted. Safe from any thread.

    The name of a response cannot be guessed: who knows it may read it.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._kept: OrderedDict[str, Remembered] = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()

    def keep(self, response: Response, messages: tuple[ChatMessage, ...]) -> None:
        """Remember a response."""
        size = len(msgspec.json.encode(response)) + len(msgspec.json.encode(messages))
        with self._lock:
            self._kept[response.id] = Remembered(response, messages, size)
            self._used += size
            while self._used > self._room:
                self._used -= self._kept.popitem(last=False)[1].size

    def find(self, name: str, param: str | None = None) -> Remembered:
        """Return a response; raises :class:`~llmos_engine.errors.NotFound`."""
        with self._lock:
            if name not in self._kept:
                raise NotFound(f"no response {name!r} is remembered", param=param)
            self._kept.move_to_end(name)
            return self._kept[name]

    def forget(self, name: str) -> None:
        """Forget a response; raises :class:`~llmos_engine.errors.NotFound`."""
        with self._lock:
            if name not in self._kept:
                raise NotFound(f"no response {name!r} is remembered")
            self._used -= self._kept.pop(name).size
