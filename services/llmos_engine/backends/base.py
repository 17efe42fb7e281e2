"""The interface between the engine and what makes tokens.

The engine calls a back end from one thread, the decode thread. An answer is a generator
of steps, and the engine looks for cancellation between two steps, so a step is short: one
token, or one batch of the prompt.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from llmos_api.types import ChatMessage
from llmos_engine.models import ModelFile

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
    seed: int | None = None
    constraint: Constraint | None = None


class Prompt(NamedTuple):
    """Messages as tokens, and the strings that end an answer to them."""

    tokens: Sequence[int]
    stops: tuple[str, ...] = ()


class Step(NamedTuple):
    """What one step made: bytes of UTF-8, possibly a part of a character, and tokens.

    A step that reads the prompt has no tokens.
    """

    text: bytes
    tokens: int


class LoadedModel(Protocol):
    """A model in memory."""

    @property
    def context(self) -> int:
        """How many tokens prompt and answer may have together."""

    @property
    def device(self) -> str:
        """What it computes on, by the names that people know."""

    def prompt(self, messages: Sequence[ChatMessage]) -> Prompt:
        """Turn messages into tokens; raises :class:`~llmos_engine.errors.InvalidRequest`."""

    def generate(self, tokens: Sequence[int], sampling: Sampling) -> Generator[Step]:
        """Yield the answer step by step, to the model's own end of it.

        Closing the generator stops the work. Raises
        :class:`~llmos_engine.errors.InvalidRequest` when the constraint cannot be met and
        :class:`~llmos_engine.errors.DecodeFailed` when the model has to be loaded again.
        """

    def close(self) -> None:
        """Give the memory back."""


class Backend(Protocol):
    """Loads models."""

    def load(self, file: ModelFile, progress: Progress) -> LoadedModel:
        """Load a model; raises :class:`~llmos_engine.errors.ModelError`."""
