"""What is asked of a model, and how far it has come."""

from dataclasses import dataclass
from enum import Enum, IntEnum


class Priority(IntEnum):
    """The class of a request; a smaller one comes first."""

    INTERACTIVE = 0
    """Somebody sits there and reads along."""
    SERVICE = 1
    """Another program waits for it."""
    BATCH = 2
    """Nobody waits for it."""


class Phase(Enum):
    """Where a request stands."""

    WAITING = "waiting"
    """It has nothing in the KV cache."""
    RUNNING = "running"
    """It has a slot: a sequence of the KV cache."""
    PARKED = "parked"
    """What it had in the KV cache is kept outside, and comes back unchanged."""


@dataclass
class Request:
    """One sequence of tokens that grows: ``prompt`` tokens are read, up to ``limit`` are made.

    ``arrived`` is a time in seconds, on the clock of whoever calls the scheduler.
    """

    id: int
    priority: Priority
    prompt: int
    limit: int
    arrived: float
    phase: Phase = Phase.WAITING
    slot: int | None = None
    held: int = 0
    """Tokens of it that the KV cache has, or had when it was parked."""
    made: int = 0
    """Tokens made; the last one is in the KV cache only after the next step."""
    idle_since: float = 0.0
    """Since when it waits or is parked."""
    placed_as: int = 0
    """The class that it had when it got its slot: a better one than its own if it had waited."""
    made_before: int = 0
    """``made`` when it got its slot."""

    def __post_init__(self) -> None:
        self.idle_since = self.arrived

    @property
    def length(self) -> int:
        """All its tokens so far."""
        return self.prompt + self.made

    @property
    def unread(self) -> int:
        """Tokens that the KV cache has not seen: of the prompt, or the one made last."""
        return self.length - self.held

    @property
    def decoding(self) -> bool:
        """Whether its next step makes a token without reading any of the prompt but that."""
        return self.phase is Phase.RUNNING and self.made > 0 and self.unread == 1
