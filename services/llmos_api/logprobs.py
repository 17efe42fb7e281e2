"""The wire types of how probable tokens were, in the chat's shape."""

from msgspec import Struct


class TopLogprob(Struct, frozen=True):
    """A token that could have been said: ``logprob`` is the natural logarithm of how probable.

    ``bytes`` is its UTF-8: a token can be a part of a character.
    """

    token: str
    logprob: float
    bytes: tuple[int, ...]


class TokenLogprob(Struct, frozen=True):
    """A token that was said, and the most probable ones in its place."""

    token: str
    logprob: float
    bytes: tuple[int, ...]
    top_logprobs: tuple[TopLogprob, ...] = ()


class Logprobs(Struct, frozen=True):
    """How probable the tokens of an answer were."""

    content: tuple[TokenLogprob, ...]
