"""The wire types beside the chat: texts that are gone on with, and their tokens.

References: https://platform.openai.com/docs/api-reference/completions, and llama.cpp's server
for ``/tokenize`` and ``/detokenize``.
"""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from llmos_api.types import FinishReason, GenerationRequest, TokenNumber, Usage

MAX_PROMPTS: Final = 64
"""How many prompts one request may have."""
MAX_PROMPT_TOKENS: Final = 1 << 20
MAX_COMPLETION_LOGPROBS: Final = 5
USUAL_TOKENS: Final = 16
"""Tokens of an answer when the request does not say: OpenAI's number for this endpoint."""

Tokens = Annotated[tuple[TokenNumber, ...], Meta(min_length=1, max_length=MAX_PROMPT_TOKENS)]
# One array type, because msgspec tells no two apart: numbers alone are one prompt.
Prompts = Annotated[
    tuple[str | TokenNumber | Tokens, ...], Meta(min_length=1, max_length=MAX_PROMPT_TOKENS)
]


class CompletionRequest(GenerationRequest, frozen=True, omit_defaults=True):
    """The body of ``POST /v1/completions``: a text, or its tokens, or several of either.

    ``logprobs`` is how many probable tokens to tell for each place; with ``echo`` the prompt is
    told too, and ``max_tokens`` may be 0. With ``suffix`` the answer goes between it and the
    prompt.
    """

    prompt: str | Prompts
    max_tokens: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=MAX_COMPLETION_LOGPROBS)] | None = None
    echo: bool | None = None
    suffix: str | None = None

    @property
    def prompts(self) -> tuple[str | tuple[int, ...], ...]:
        """The prompts, one or more.

        Raises:
            ValueError: they are neither one nor the other, or too many.
        """
        if isinstance(self.prompt, str):
            return (self.prompt,)
        prompts = tuple(part for part in self.prompt if not isinstance(part, int))
        if not prompts:
            return (tuple(part for part in self.prompt if isinstance(part, int)),)
        if len(prompts) < len(self.prompt):
            raise ValueError("either tokens, or prompts")
        if len(prompts) > MAX_PROMPTS:
            raise ValueError(f"at most {MAX_PROMPTS} prompts, not {len(prompts)}")
        return prompts


class CompletionLogprobs(Struct, frozen=True):
    """Four lists with a place for each token.

    The first token of a prompt follows nothing: its ``token_logprobs`` and ``top_logprobs`` are
    null. ``text_offset`` counts characters from the beginning of the choice's text.
    """

    tokens: tuple[str, ...]
    token_logprobs: tuple[float | None, ...]
    top_logprobs: tuple[dict[str, float] | None, ...]
    text_offset: tuple[int, ...]


class CompletionChoice(Struct, frozen=True):
    """An answer, or a piece of one when it is streamed."""

    text: str
    index: int
    logprobs: CompletionLogprobs | None = None
    finish_reason: FinishReason | None = None


class Completion(Struct, frozen=True):
    """The answer of ``POST /v1/completions``, and an event of it when it is streamed."""

    id: str
    created: int
    model: str
    choices: tuple[CompletionChoice, ...]
    usage: Usage | None = None
    object: Literal["text_completion"] = "text_completion"


class TokenizeRequest(Struct, frozen=True):
    """The body of ``POST /tokenize``.

    ``add_special`` puts the token before it that begins a text, where the model has one;
    ``parse_special`` reads control tokens such as ``<|im_end|>`` as such.
    """

    content: str
    model: str | None = None
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class TokenPiece(Struct, frozen=True):
    """A token and its text; bytes when it is a part of a character."""

    id: int
    piece: str | tuple[int, ...]


class TokenizeAnswer(Struct, frozen=True):
    """The tokens of a text."""

    tokens: tuple[int | TokenPiece, ...]


class DetokenizeRequest(Struct, frozen=True):
    """The body of ``POST /detokenize``."""

    tokens: Annotated[tuple[TokenNumber, ...], Meta(max_length=MAX_PROMPT_TOKENS)]
    model: str | None = None


class DetokenizeAnswer(Struct, frozen=True):
    """The text of tokens, control tokens as they are written."""

    content: str
