"""Texts and tokens of a loaded model, without computing anything."""

from typing import Final

import msgspec

from llmos_api.completions import (
    DetokenizeAnswer,
    DetokenizeRequest,
    TokenizeAnswer,
    TokenizeRequest,
    TokenPiece,
)
from llmos_engine.backends.base import LoadedModel
from llmos_engine.errors import InvalidRequest

MAX_TEXT: Final = 256 * 1024
"""Characters that may be cut at once: it happens between two steps of everyone's answers."""


class Tokenize(msgspec.Struct, frozen=True, tag=True):
    """A text that is to be cut into tokens."""

    ask: TokenizeRequest


class Detokenize(msgspec.Struct, frozen=True, tag=True):
    """Tokens that are to be written out."""

    ask: DetokenizeRequest


Question = Tokenize | Detokenize


def looked_up(question: Question, model: LoadedModel) -> bytes:
    """The answer to ``question``, as JSON.

    Raises:
        InvalidRequest: the model has no answer.
    """
    match question:
        case Tokenize(ask):
            return msgspec.json.encode(tokenize(ask, model))
        case Detokenize(ask):
            return msgspec.json.encode(detokenize(ask, model))


def tokenize(ask: TokenizeRequest, model: LoadedModel) -> TokenizeAnswer:
    """Cut a text.

    Raises:
        InvalidRequest: it is too long.
    """
    if len(ask.content) > MAX_TEXT:
        raise InvalidRequest(
            f"content: {len(ask.content)} characters, at most {MAX_TEXT}",
            param="content",
            code="invalid_value",
        )
    tokens = model.tokenize(ask.content, special=ask.parse_special, begin=ask.add_special)
    if not ask.with_pieces:
        return TokenizeAnswer(tuple(tokens))
    pieces = model.pieces(tokens)
    return TokenizeAnswer(
        tuple(TokenPiece(one, _text(piece)) for one, piece in zip(tokens, pieces, strict=True))
    )


def detokenize(ask: DetokenizeRequest, model: LoadedModel) -> DetokenizeAnswer:
    """Write tokens out.

    Raises:
        InvalidRequest: the model has no such token.
    """
    return DetokenizeAnswer(b"".join(model.pieces(ask.tokens)).decode(errors="replace"))


def _text(piece: bytes) -> str | tuple[int, ...]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return tuple(piece)
