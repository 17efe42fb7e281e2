"""The interface between the engine and what makes tokens.

The engine calls a back end from one thread, the decode thread. Sequences are computed side by
side, a batch at a time, and the engine looks for cancellation between two batches: they are
short.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from llmos_api.types import ChatMessage
from llmos_engine.errors import Refused
from llmos_models.scan import ModelFile

Progress = Callable[[float], bool]
"""Takes how much of a model is loaded, from 0 to 1; false stops the loading."""


@dataclass(frozen=True)
class BackendOptions:
    """What a back end is started with; None lets it choose."""

    threads: int | None = None
    context: int | None = None
    offload: bool = False
    """Whether models go to a graphics or AI processor, where there is one."""


@dataclass(frozen=True)
class Constraint:
    """What every answer must look like: a JSON schema, and the same as a GBNF grammar."""

    schema: Mapping[str, Any]
    grammar: str


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; ``temperature`` 0 takes the most probable one.

    The defaults are for requests that say nothing. ``seed`` None is a random one.
    """

    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 40
    min_p: float = 0.0
    """Leaves out what is less probable than so many times the most probable token."""
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    bias: Mapping[int, float] = field(default_factory=dict)
    """What is added to the logits of tokens, by their numbers."""
    seed: int | None = None
    constraint: Constraint | None = None


class Shape(NamedTuple):
    """Sequences side by side, tokens of KV cache that they share, tokens in one batch."""

    slots: int
    capacity: int
    batch: int


class Prompt(NamedTuple):
    """Messages as tokens, and the strings that end an answer to them."""

    tokens: Sequence[int]
    stops: tuple[str, ...] = ()


class Feed(NamedTuple):
    """Tokens for a sequence, at the positions from ``start`` on; ``makes`` wants the next one."""

    slot: int
    tokens: Sequence[int]
    start: int
    makes: bool


class Token(NamedTuple):
    """A token that was made: its number, and its bytes of UTF-8, possibly part of a character."""

    number: int
    text: bytes


Made = Token | Refused | None
"""What a feed led to; None is the model's own end of the answer. A refusal ends this answer
and no other."""


class LoadedModel(Protocol):
    """A model in memory, with a KV cache for several sequences that grow side by side.

    A sequence has a slot, ``0`` to ``slots - 1``. All calls come from one thread.
    """

    @property
    def context(self) -> int:
        """How many tokens prompt and answer may have together."""

    @property
    def device(self) -> str:
        """What it computes on, by the names that people know."""

    @property
    def shape(self) -> Shape:
        """What it has room for."""

    def prompt(self, messages: Sequence[ChatMessage]) -> Prompt:
        """Turn messages into tokens; raises :class:`~llmos_engine.errors.InvalidRequest`."""

    def open(self, slot: int, tokens: Sequence[int], sampling: Sampling) -> int:
        """Begin a sequence; return how many of its tokens the cache has already.

        Raises :class:`~llmos_engine.errors.InvalidRequest` when the constraint cannot be met.
        """

    def run(self, feeds: Sequence[Feed]) -> Sequence[Made]:
        """Compute one batch; one result for each feed that ``makes``, in their order.

        Raises :class:`~llmos_engine.errors.DecodeFailed` when the model has to be loaded again.
        """

    def park(self, slot: int) -> object:
        """Take a sequence out of its slot; what is returned brings it back."""

    def resume(self, slot: int, parked: object) -> None:
        """Bring a sequence back, into any slot that is free."""

    def drop(self, parked: object) -> None:
        """Give up a sequence that was taken out."""

    def end(self, slot: int) -> None:
        """End a sequence; the cache keeps its tokens while there is room."""

    def close(self) -> None:
        """Give the memory back."""


class Backend(Protocol):
    """Loads models."""

    def load(self, file: ModelFile, progress: Progress) -> LoadedModel:
        """Load a model; raises :class:`~llmos_models.errors.ModelError`."""
