"""The wire types: OpenAI's chat completions, as far as the engine serves them.

Decoding is strict about types (an error names the path of the value) and ignores fields
it does not know, as OpenAI's servers do, so that existing clients work. Reference:
https://platform.openai.com/docs/api-reference/chat
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from llmos_api.logprobs import Logprobs
from llmos_api.tools import ToolCall, ToolCallDelta, ToolChoice, Tools

MAX_TOP_LOGPROBS: Final = 20
"""How many other tokens a place of the answer may be told with."""
MAX_CHOICES: Final = 8
"""How many answers to one request there may be."""
MAX_BIASES: Final = 1024
"""How many tokens one request may make more or less probable."""
MAX_STOPS: Final = 16
"""How many stop strings one request may have; OpenAI allows 4."""


class HealthStatus(StrEnum):
    """Where the engine stands."""

    OK = "ok"
    LOADING = "loading"
    FAILED = "failed"

    @property
    def http_status(self) -> int:
        """The status code of ``GET /health`` in this state."""
        return 200 if self is HealthStatus.OK else 503


class Health(Struct, frozen=True, omit_defaults=True):
    """The answer of ``GET /health``; ``error`` says why the state is ``failed``.

    ``device`` is what the loaded model computes on.
    """

    status: HealthStatus
    model: str | None = None
    error: str | None = None
    device: str | None = None

    @property
    def ready(self) -> bool:
        """Whether a chat would be answered now."""
        return self.status is HealthStatus.OK


class Model(Struct, frozen=True):
    """One model; ``meta`` holds the ``llmos.*`` keys of its GGUF."""

    id: str
    created: int
    owned_by: str
    meta: dict[str, str] = {}
    object: Literal["model"] = "model"


class ModelList(Struct, frozen=True):
    """The answer of ``GET /v1/models``."""

    data: tuple[Model, ...]
    object: Literal["list"] = "list"


class Role(StrEnum):
    """Who says a message."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"

    @property
    def template_name(self) -> str:
        """The role as chat templates know it: ``developer`` is OpenAI's newer ``system``."""
        return "system" if self is Role.DEVELOPER else self.value


class TextPart(Struct, frozen=True):
    """A piece of a message; the engine reads text only."""

    text: str
    type: Literal["text"]


class ChatMessage(Struct, frozen=True):
    """One turn of the conversation.

    Only an assistant that calls tools may have no ``content``. A message of a tool says with
    ``tool_call_id`` which call it answers.
    """

    role: Role
    content: str | tuple[TextPart, ...] | UnsetType | None = UNSET
    tool_calls: tuple[ToolCall, ...] | UnsetType | None = UNSET
    tool_call_id: str | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        if not isinstance(self.content, str | tuple) and not (
            self.role is Role.ASSISTANT and self.calls
        ):
            raise ValueError("Expected `content`, a string or text parts")

    @property
    def text(self) -> str:
        """The content as one string, whichever shape it came in."""
        if isinstance(self.content, tuple):
            return "".join(part.text for part in self.content)
        return self.content or ""

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tools that the assistant calls."""
        return self.tool_calls or ()

    @classmethod
    def system(cls, text: str) -> "ChatMessage":
        """Make an instruction to the model."""
        return cls(Role.SYSTEM, text)

    @classmethod
    def user(cls, text: str) -> "ChatMessage":
        """Make a message of the person."""
        return cls(Role.USER, text)

    @classmethod
    def assistant(cls, text: str) -> "ChatMessage":
        """Make an answer of the model."""
        return cls(Role.ASSISTANT, text)

    @classmethod
    def tool(cls, call: str, text: str) -> "ChatMessage":
        """Make the result of the call with that ``id``."""
        return cls(Role.TOOL, text, tool_call_id=call)


class TextFormat(Struct, frozen=True, tag_field="type", tag="text"):
    """No constraint on the answer."""


class JsonObjectFormat(Struct, frozen=True, tag_field="type", tag="json_object"):
    """The answer is one JSON object of any shape."""


class JsonSchema(Struct, frozen=True, omit_defaults=True):
    """A JSON schema and its name; the engine is always strict about it."""

    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class JsonSchemaFormat(Struct, frozen=True, tag_field="type", tag="json_schema"):
    """The answer is one JSON value that the schema accepts."""

    json_schema: JsonSchema


ResponseFormat = TextFormat | JsonObjectFormat | JsonSchemaFormat


class StreamOptions(Struct, frozen=True):
    """``include_usage`` asks for a last chunk with the token counts."""

    include_usage: bool = False


# Floats are bounded so that "inf" and the like end as a clear 400, not in a sampler.
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(gt=0, le=1)]
MinP = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
TokenNumber = Annotated[int, Meta(ge=0, le=2**31 - 1)]
LogitBias = Annotated[dict[TokenNumber, Bias], Meta(max_length=MAX_BIASES)]
TopK = Annotated[int, Meta(ge=0, le=1_000_000)]
MaxTokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Stop = Annotated[str, Meta(min_length=1, max_length=256)]
Stops = Annotated[tuple[Stop, ...], Meta(max_length=MAX_STOPS)]
Messages = Annotated[tuple[ChatMessage, ...], Meta(min_length=1)]


class ServiceTier(StrEnum):
    """How urgent an answer is, in OpenAI's words; nobody gets more than is due to them."""

    AUTO = "auto"
    PRIORITY = "priority"
    SCALE = "scale"
    DEFAULT = "default"
    """Another program waits: after those whose reader sits there."""
    FLEX = "flex"
    """Nobody waits: after all others."""


class GenerationRequest(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What all requests for new tokens have in common.

    Without ``model`` the engine's default model answers. ``temperature`` 0 takes the most
    probable token each time. ``top_k`` and ``min_p`` are not OpenAI's; llama.cpp's servers have
    them too.
    """

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: LogitBias | None = None
    seed: Seed | None = None
    stop: Stop | Stops | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    service_tier: ServiceTier | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The strings that end the answer."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else self.stop


class ChatRequest(GenerationRequest, frozen=True, omit_defaults=True):
    """The body of ``POST /v1/chat/completions``.

    ``logprobs`` tells how probable each token was, with as many others as ``top_logprobs``.
    """

    messages: Messages
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    response_format: ResponseFormat | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None

    @property
    def token_limit(self) -> int | None:
        """The longest answer in tokens, by OpenAI's newer name or the older one."""
        if self.max_completion_tokens is not None:
            return self.max_completion_tokens
        return self.max_tokens


class Usage(Struct, frozen=True):
    """Token counts of one request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class FinishReason(StrEnum):
    """Why an answer ended: by itself or a stop string, at its limit, or to call tools."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"


class Choice(Struct, frozen=True):
    """A whole answer."""

    index: int
    message: ChatMessage
    finish_reason: FinishReason
    logprobs: Logprobs | None = None


class ChatCompletion(Struct, frozen=True):
    """The answer of a chat that is not streamed."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    object: Literal["chat.completion"] = "chat.completion"

    @property
    def text(self) -> str:
        """What the model said."""
        return self.choices[0].message.text if self.choices else ""


class Delta(Struct, frozen=True, omit_defaults=True):
    """What a chunk adds to the answer."""

    role: Role | None = None
    content: str | None = None
    tool_calls: tuple[ToolCallDelta, ...] | None = None


class ChunkChoice(Struct, frozen=True):
    """A piece of an answer; ``finish_reason`` is set in the last one."""

    index: int
    delta: Delta
    finish_reason: FinishReason | None = None
    logprobs: Logprobs | None = None


class ChatChunk(Struct, frozen=True):
    """One event of a streamed chat.

    The last chunk has ``usage`` and no choices, if ``include_usage`` asked for it.
    """

    id: str
    created: int
    model: str
    choices: tuple[ChunkChoice, ...]
    usage: Usage | None = None
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"

    @property
    def text(self) -> str:
        """The text that this chunk adds, possibly none."""
        return "".join(choice.delta.content or "" for choice in self.choices)

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the answer ended, when this chunk ends it."""
        return next((c.finish_reason for c in self.choices if c.finish_reason), None)


class ErrorDetail(Struct, frozen=True):
    """One error: ``param`` is the path of the wrong value, ``code`` a word for programs."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(Struct, frozen=True):
    """The body of every answer that is an error."""

    error: ErrorDetail
