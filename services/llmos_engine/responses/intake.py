"""From the items of a request to the chat that it means."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from llmos_api.responses import (
    InputCall,
    InputItem,
    InputMessage,
    InputResult,
    InputText,
    ObjectFormat,
    OutputText,
    ResponseFunction,
    ResponseRequest,
    ResponseToolChoice,
    SchemaFormat,
    TextOptions,
)
from llmos_api.tools import (
    FunctionCall,
    FunctionChoice,
    FunctionDefinition,
    NamedTool,
    Tool,
    ToolCall,
    ToolChoice,
)
from llmos_api.types import (
    ChatMessage,
    ChatRequest,
    JsonObjectFormat,
    JsonSchema,
    JsonSchemaFormat,
    ResponseFormat,
    Role,
)
from llmos_engine.errors import InvalidRequest
from llmos_engine.intake import explained

_UNSEEN: Final = frozenset({"reasoning"})
"""Items that clients send back and that mean nothing here."""


def conversation(ask: ResponseRequest, before: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    """Return the messages of a request after those ``before`` it, without the instructions.

    Raises:
        InvalidRequest: an item is of no known type, or a call has no result to it.
    """
    if isinstance(ask.input, str):
        return (*before, ChatMessage.user(ask.input))
    messages = list(before)
    for number, raw in enumerate(ask.input):
        if isinstance(raw, dict) and raw.get("type") in _UNSEEN:
            continue
        _append(messages, _item(raw, number))
    if not messages:
        raise InvalidRequest("input: it says nothing", param="input", code="empty_prompt")
    return tuple(messages)


def chat(ask: ResponseRequest, messages: tuple[ChatMessage, ...]) -> ChatRequest:
    """Return the chat that a request means."""
    first = (ChatMessage.system(ask.instructions),) if ask.instructions else ()
    return ChatRequest(
        (*first, *messages),
        model=ask.model,
        max_completion_tokens=ask.max_output_tokens,
        temperature=ask.temperature,
        top_p=ask.top_p,
        response_format=_format(ask.text),
        tools=tuple(_tool(tool) for tool in ask.tools) if ask.tools else None,
        tool_choice=_choice(ask.tool_choice),
        parallel_tool_calls=ask.parallel_tool_calls,
        service_tier=ask.service_tier,
    )


def _item(raw: Any, number: int) -> InputItem:
    # A message may leave its type out.
    if isinstance(raw, dict) and "type" not in raw:
        raw = {**raw, "type": "message"}
    try:
        item: InputItem = msgspec.convert(raw, InputItem)
    except msgspec.ValidationError as error:
        raise explained(error, f"input[{number}]") from None
    return item


def _append(messages: list[ChatMessage], item: InputItem) -> None:
    match item:
        case InputMessage(role, content):
            messages.append(ChatMessage(role, _text(content)))
        case InputCall(call_id, name, arguments):
            call = ToolCall(call_id, FunctionCall(name, arguments))
            last = messages[-1] if messages else None
            if last is not None and last.role is Role.ASSISTANT:
                # What it said and all that it called belong to one turn.
                calls = (*last.calls, call)
                messages[-1] = ChatMessage(Role.ASSISTANT, last.text or None, calls)
            else:
                messages.append(ChatMessage(Role.ASSISTANT, None, (call,)))
        case InputResult(call_id, output):
            messages.append(ChatMessage.tool(call_id, _text(output)))


def _text(content: str | Sequence[InputText | OutputText]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)


def _format(options: TextOptions | None) -> ResponseFormat | None:
    match options.format if options else None:
        case SchemaFormat(name, schema):
            return JsonSchemaFormat(JsonSchema(name, schema))
        case ObjectFormat():
            return JsonObjectFormat()
        case _:
            return None


def _tool(tool: ResponseFunction) -> Tool:
    function = FunctionDefinition(tool.name, tool.description, tool.parameters, tool.strict)
    return Tool(function, "function")


def _choice(wanted: Any) -> ToolChoice | None:
    if isinstance(wanted, ResponseToolChoice):
        return NamedTool(FunctionChoice(wanted.name), "function")
    choice: ToolChoice | None = wanted
    return choice
