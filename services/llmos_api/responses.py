"""The wire types of OpenAI's responses: items in, items out, and events while they come.

Reference: https://platform.openai.com/docs/api-reference/responses
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from llmos_api.tools import MAX_TOOLS, FunctionName, ToolMode
from llmos_api.types import MaxTokens, Role, ServiceTier, Temperature, TopP


class InputText(Struct, frozen=True, tag_field="type", tag="input_text"):
    """A piece of what is said to the model."""

    text: str


class OutputText(Struct, frozen=True, tag_field="type", tag="output_text"):
    """A piece of what the model has said."""

    text: str
    annotations: tuple[Any, ...] = ()
    logprobs: tuple[Any, ...] = ()


class InputMessage(Struct, frozen=True, tag_field="type", tag="message"):
    """A turn of the conversation."""

    role: Role
    content: str | tuple[InputText | OutputText, ...]


class InputCall(Struct, frozen=True, tag_field="type", tag="function_call"):
    """A function that the model called earlier."""

    call_id: str
    name: str
    arguments: str


class InputResult(Struct, frozen=True, tag_field="type", tag="function_call_output"):
    """What came of it."""

    call_id: str
    output: str | tuple[InputText, ...]


InputItem = InputMessage | InputCall | InputResult


class ResponseFunction(Struct, frozen=True, omit_defaults=True):
    """A function that may be called; here its fields are those of the tool itself."""

    type: Literal["function"]
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseToolChoice(Struct, frozen=True):
    """Wants this function to be called, and no other."""

    type: Literal["function"]
    name: str


class PlainFormat(Struct, frozen=True, tag_field="type", tag="text"):
    """No constraint on the text."""


class ObjectFormat(Struct, frozen=True, tag_field="type", tag="json_object"):
    """The text is one JSON object."""


class SchemaFormat(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="json_schema"):
    """The text is one JSON value that the schema accepts."""

    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class TextOptions(Struct, frozen=True):
    """What the text looks like."""

    format: PlainFormat | ObjectFormat | SchemaFormat = PlainFormat()


class ResponseRequest(Struct, frozen=True, omit_defaults=True):
    """The body of ``POST /v1/responses``.

    ``instructions`` come first and are not handed on to the next response; with
    ``previous_response_id`` the conversation goes on, if that response was stored.
    """

    input: str | Annotated[tuple[Any, ...], Meta(min_length=1)]
    """Items; those of no known type are refused when they are read one by one."""
    model: str | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    stream: bool | None = None
    max_output_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    text: TextOptions | None = None
    tools: Annotated[tuple[ResponseFunction, ...], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolMode | ResponseToolChoice | None = None
    parallel_tool_calls: bool | None = None
    service_tier: ServiceTier | None = None
    metadata: dict[str, str] | None = None


class ItemStatus(StrEnum):
    """How far an item or a response is."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


class OutputMessage(Struct, frozen=True, tag_field="type", tag="message"):
    """What the model says."""

    id: str
    status: ItemStatus
    content: tuple[OutputText, ...]
    role: Literal["assistant"] = "assistant"


class OutputCall(Struct, frozen=True, tag_field="type", tag="function_call"):
    """A function that the model calls; ``call_id`` names the call in the answer to it."""

    id: str
    call_id: str
    name: str
    arguments: str
    status: ItemStatus


OutputItem = OutputMessage | OutputCall


class InputDetails(Struct, frozen=True):
    """Of the tokens that were read, those that were found in the cache."""

    cached_tokens: int = 0


class OutputDetails(Struct, frozen=True):
    """Of the tokens that were made, those that nobody sees."""

    reasoning_tokens: int = 0


class ResponseUsage(Struct, frozen=True):
    """Token counts."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputDetails = InputDetails()
    output_tokens_details: OutputDetails = OutputDetails()


class Incomplete(Struct, frozen=True):
    """Why a response is not whole."""

    reason: Literal["max_output_tokens"]


class ResponseError(Struct, frozen=True):
    """Why a response failed."""

    code: str
    message: str


class Response(Struct, frozen=True, kw_only=True):
    """The answer: what was asked for is repeated in it."""

    id: str
    created_at: int
    model: str
    status: ItemStatus
    output: tuple[OutputItem, ...]
    usage: ResponseUsage | None = None
    error: ResponseError | None = None
    incomplete_details: Incomplete | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: TextOptions = TextOptions()
    tools: tuple[ResponseFunction, ...] = ()
    tool_choice: ToolMode | ResponseToolChoice = ToolMode.AUTO
    parallel_tool_calls: bool = True
    store: bool = True
    metadata: dict[str, str] = {}
    truncation: Literal["disabled"] = "disabled"
    object: Literal["response"] = "response"

    @property
    def output_text(self) -> str:
        """All that the model said."""
        messages = (item for item in self.output if isinstance(item, OutputMessage))
        return "".join(part.text for message in messages for part in message.content)


class ResponseEvent(Struct, frozen=True, omit_defaults=True):
    """One event of a streamed response; which fields there are depends on its ``type``."""

    type: str
    sequence_number: int
    response: Response | UnsetType = UNSET
    item: OutputItem | UnsetType = UNSET
    part: OutputText | UnsetType = UNSET
    item_id: str | UnsetType = UNSET
    output_index: int | UnsetType = UNSET
    content_index: int | UnsetType = UNSET
    delta: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    logprobs: tuple[Any, ...] | UnsetType = UNSET
    code: str | UnsetType = UNSET
    message: str | UnsetType = UNSET


class Deleted(Struct, frozen=True):
    """The answer of ``DELETE /v1/responses/ID``."""

    id: str
    deleted: Literal[True] = True
    object: Literal["response"] = "response"
