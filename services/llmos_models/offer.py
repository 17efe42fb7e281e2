"""A model that a source has: which files it is made of, and how to get each of them."""

from collections.abc import Callable
from dataclasses import dataclass

from llmos_models.contents import Kind
from llmos_models.partial import Digest, Partial


@dataclass(frozen=True)
class Piece:
    """One file; ``size`` (bytes) and ``digest`` where the source tells them.

    ``fetch`` writes from where the partial is to the end, and may be called again after it has
    failed.
    """

    path: str
    fetch: Callable[[Partial], None]
    size: int | None = None
    digest: Digest | None = None


@dataclass(frozen=True)
class Offer:
    """What a source offers; ``left_out`` are files beside it that are not taken."""

    name: str
    kind: Kind
    source: str
    pieces: tuple[Piece, ...]
    licence: str | None = None
    left_out: tuple[str, ...] = ()
