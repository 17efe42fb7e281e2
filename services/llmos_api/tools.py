"""The wire types of tools: functions that a model may ask the client to call.

Reference: https://platform.openai.com/docs/guides/function-calling
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

MAX_TOOLS: Final = 128
"""How many functions one request may offer."""

FunctionName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class FunctionDefinition(Struct, frozen=True, omit_defaults=True):
    """A function: ``parameters`` is the JSON schema of its arguments, an object.

    With ``strict`` the arguments are certain to fit the schema; without it they do where the
    schema can be followed.
    """

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct, frozen=True):
    """Something that the client can do for the model."""

    function: FunctionDefinition
    type: Literal["function"]


class ToolMode(StrEnum):
    """Whether functions are called."""

    NONE = "none"
    AUTO = "auto"
    """As the model likes."""
    REQUIRED = "required"


class FunctionChoice(Struct, frozen=True):
    """The name of a function."""

    name: str


class NamedTool(Struct, frozen=True):
    """Wants this one to be called, and no other."""

    function: FunctionChoice
    type: Literal["function"]


ToolChoice = ToolMode | NamedTool
Tools = Annotated[tuple[Tool, ...], Meta(max_length=MAX_TOOLS)]


class FunctionCall(Struct, frozen=True):
    """A function and its arguments, which are JSON in a string."""

    name: str
    arguments: str


class ToolCall(Struct, frozen=True):
    """A call that the model asks for; the answer to it names its ``id``."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class ToolCallDelta(Struct, frozen=True):
    """A call in a stream. Calls come whole here; OpenAI's come in pieces."""

    index: int
    id: str
    function: FunctionCall
    type: Literal["function"] = "function"
