"""The interface between the engine and what makes tokens.

A back end is called from one thread of the model's own process. Sequences are computed side by
side, a batch at a time, and cancellation is looked for between two batches: they are short.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

from msgspec import Struct

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
    slots: int | None = None
    """Answers side by side."""
    offload: bool = False
    """Whether models go to a graphics or AI processor, where there is one."""


@dataclass(frozen=True)
class Constraint:
    """What an answer must look like: a JSON schema, and the same as a GBNF grammar.

    With ``after`` it holds only from where the answer says that, if it does.
    """

    schema: Mapping[str, Any]
    grammar: str
    after: str | None = None


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
    logprobs: int | None = None
    """Wants to know how probable each token was, and so many of the most probable ones."""
    markers: frozenset[str] = frozenset()
    """Control tokens that are to be seen in the answer, as they are written."""


class Conversation(Struct, frozen=True, tag=True):
    """Messages, and tools: the model's chat template makes its prompt of them."""

    messages: tuple[ChatMessage, ...]
    tools: Sequence[Mapping[str, Any]] = ()
    """In OpenAI's shape."""
    param: ClassVar[str] = "messages"
    """What a request calls it."""


class Plain(Struct, frozen=True, tag=True):
    """A text to go on with, or its tokens; with a ``suffix`` the answer goes in between."""

    content: str | tuple[int, ...]
    suffix: str | None = None
    param: ClassVar[str] = "prompt"


Asked = Conversation | Plain


class Shape(NamedTuple):
    """Sequences side by side, tokens of KV cache that they share, tokens in one batch."""

    slots: int
    capacity: int
    batch: int


class Prompt(NamedTuple):
    """What is asked as tokens, and the strings that end an answer to it."""

    tokens: Sequence[int]
    stops: tuple[str, ...] = ()
    added: int = 0
    """How many of the first tokens stand for nothing in the text, but for its beginning."""


class Feed(NamedTuple):
    """Tokens for a sequence, at the positions from ``start`` on; ``makes`` wants the next one.

    ``judged`` are the tokens that follow the first ones of ``tokens``, when it is wanted how
    probable they are, with the ``top`` most probable ones.
    """

    slot: int
    tokens: Sequence[int]
    start: int
    makes: bool
    judged: Sequence[int] = ()
    top: int = 0


class Likelihood(NamedTuple):
    """A token, its bytes, and the natural logarithm of how probable the model finds it."""

    number: int
    text: bytes
    logprob: float


class Place(NamedTuple):
    """A token in its place, and the most probable ones there, the most probable first.

    There is no ``logprob`` at the very beginning of a text: nothing comes before it.
    """

    number: int
    text: bytes
    logprob: float | None
    top: tuple[Likelihood, ...] = ()


class Token(NamedTuple):
    """A token that was made: its number, and its bytes of UTF-8, possibly part of a character."""

    number: int
    text: bytes
    place: Place | None = None


Made = Token | Refused | None
"""What a feed led to; None is the model's own end of the answer. A refusal ends this answer
and no other."""


class Outcome(NamedTuple):
    """What became of a feed; ``made`` counts only if it ``makes``, and ``judged`` as it was."""

    made: Made = None
    judged: Sequence[Place] = ()


class Needs(NamedTuple):
    """Bytes of the machine's memory that a model will have taken once it has answered."""

    weights: int
    """Pages of its file."""
    rest: int
    """KV cache, buffers, vocabulary, and the library."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.rest


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

    def prompt(self, asked: Asked) -> Prompt:
        """Turn what is asked into tokens; raises :class:`~llmos_engine.errors.InvalidRequest`."""

    def tokenize(self, text: str, *, special: bool = True, begin: bool = False) -> Sequence[int]:
        """Cut a text into tokens; ``special`` reads control tokens, ``begin`` adds the first."""

    def pieces(self, tokens: Sequence[int]) -> Sequence[bytes]:
        """Return the bytes of tokens, of control tokens as they are written.

        Raises :class:`~llmos_engine.errors.InvalidRequest` when there is no such token.
        """

    def open(
        self, slot: int, tokens: Sequence[int], sampling: Sampling, *, anew: bool = False
    ) -> int:
        """Begin a sequence; return how many of its tokens the cache has already.

        ``anew`` reads all of them, because it is wanted how probable they are.


        Raises :class:`~llmos_engine.errors.InvalidRequest` when the constraint cannot be met.
        """

    def run(self, feeds: Sequence[Feed]) -> Sequence[Outcome]:
        """Compute one batch; an outcome for each feed, in their order.

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

    def needs(self, file: ModelFile) -> Needs:
        """Say what :meth:`load` will take; raises :class:`~llmos_models.errors.ModelError`."""

    def load(self, file: ModelFile, progress: Progress) -> LoadedModel:
        """Load a model; raises :class:`~llmos_models.errors.ModelError`."""
