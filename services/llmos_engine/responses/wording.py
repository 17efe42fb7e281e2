"""How ``POST /v1/responses`` words its answers: items, or the events of items in the making."""

import secrets
from collections.abc import Iterator, Sequence

import msgspec

from llmos_api.responses import (
    Incomplete,
    ItemStatus,
    OutputCall,
    OutputItem,
    OutputMessage,
    OutputText,
    Response,
    ResponseError,
    ResponseEvent,
    ResponseRequest,
    ResponseUsage,
    TextOptions,
)
from llmos_api.tools import FunctionCall, ToolCall, ToolMode
from llmos_api.types import ChatMessage, FinishReason, Role, Usage
from llmos_engine.errors import Refused
from llmos_engine.jobs import Finished, Text
from llmos_engine.responses.memory import Memory
from llmos_engine.tools.asked import Offer
from llmos_engine.tools.parser import Piece
from llmos_engine.tools.reading import Reading
from llmos_engine.tools.values import Called
from llmos_engine.wording import About


class ResponseWording:
    """One response: its items, and the numbers of its events."""

    prefix = "resp_"
    named: bool = True
    last: str | None = None

    def __init__(
        self,
        ask: ResponseRequest,
        messages: tuple[ChatMessage, ...],
        offer: Offer | None,
        memory: Memory,
    ) -> None:
        self._ask = ask
        self._messages = messages
        self._memory = memory
        self._reading = Reading(offer)
        self._items: list[OutputItem] = []
        self._saying = ""
        """What the message says that is being made; its item is the last one."""
        self._open = False
        self._number = 0

    def whole(self, about: About, texts: Sequence[Text], ends: Sequence[Finished]) -> Response:
        """Word the whole answer."""
        for text in texts:
            for piece in [*self._reading.feed(text.text), *self._reading.finish()]:
                list(self._take(piece))
        list(self._close(_status(ends[0])))
        return self._finished(about, ends[0])

    def opening(self, about: About, index: int) -> Sequence[ResponseEvent]:
        """Say that it begins."""
        del index
        response = self._response(about, ItemStatus.IN_PROGRESS)
        return [
            self._event("response.created", response=response),
            self._event("response.in_progress", response=response),
        ]

    def piece(self, about: About, index: int, text: Text) -> Sequence[ResponseEvent]:
        """Word a piece of the message, and the calls that it completes."""
        del about, index
        return [event for piece in self._reading.feed(text.text) for event in self._take(piece)]

    def end(self, about: About, index: int, end: Finished) -> Sequence[ResponseEvent]:
        """Close what is open, and tell the whole response."""
        del index
        events = [event for piece in self._reading.finish() for event in self._take(piece)]
        events += self._close(_status(end))
        response = self._finished(about, end)
        return [*events, self._event(f"response.{response.status}", response=response)]

    def usage(self, about: About, usage: Usage) -> Sequence[ResponseEvent]:
        """The last event has said it."""
        del about, usage
        return ()

    def failure(self, about: About, error: Refused) -> Sequence[ResponseEvent]:
        """Say what went wrong."""
        fault = ResponseError(error.code or "server_error", str(error))
        response = self._response(about, ItemStatus.FAILED, error=fault)
        return [self._event("response.failed", response=response)]

    # How it works

    def _take(self, piece: Piece) -> Iterator[ResponseEvent]:
        if isinstance(piece, Called):
            yield from self._close(ItemStatus.COMPLETED)
            yield from self._call(piece)
            return
        if not self._open:
            self._open, self._saying = True, ""
            message = OutputMessage(_name("msg_"), ItemStatus.IN_PROGRESS, ())
            self._items.append(message)
            yield self._at("response.output_item.added", item=message)
            yield self._in_text("response.content_part.added", part=OutputText(""))
        self._saying += piece
        yield self._in_text("response.output_text.delta", delta=piece, logprobs=())

    def _close(self, status: ItemStatus) -> Iterator[ResponseEvent]:
        """End the message that is being made, if there is one."""
        if not self._open:
            return
        self._open = False
        part = OutputText(self._saying)
        message = OutputMessage(self._items[-1].id, status, (part,))
        self._items[-1] = message
        yield self._in_text("response.output_text.done", text=part.text, logprobs=())
        yield self._in_text("response.content_part.done", part=part)
        yield self._at("response.output_item.done", item=message)

    def _call(self, call: Called) -> Iterator[ResponseEvent]:
        done = OutputCall(
            id=_name("fc_"),
            call_id=_name("call_"),
            name=call.name,
            arguments=call.arguments,
            status=ItemStatus.COMPLETED,
        )
        begun = msgspec.structs.replace(done, arguments="", status=ItemStatus.IN_PROGRESS)
        self._items.append(done)
        yield self._at("response.output_item.added", item=begun)
        kind = "response.function_call_arguments"
        yield self._at(f"{kind}.delta", item_id=done.id, delta=call.arguments)
        yield self._at(f"{kind}.done", item_id=done.id, name=call.name, arguments=call.arguments)
        yield self._at("response.output_item.done", item=done)

    def _event(self, kind: str, **fields: object) -> ResponseEvent:
        self._number += 1
        return ResponseEvent(kind, self._number - 1, **fields)  # type: ignore[arg-type]

    def _at(self, kind: str, **fields: object) -> ResponseEvent:
        return self._event(kind, output_index=len(self._items) - 1, **fields)

    def _in_text(self, kind: str, **fields: object) -> ResponseEvent:
        return self._at(kind, item_id=self._items[-1].id, content_index=0, **fields)

    def _finished(self, about: About, end: Finished) -> Response:
        used = end.usage
        response = self._response(
            about,
            _status(end),
            usage=ResponseUsage(used.prompt_tokens, used.completion_tokens, used.total_tokens),
            incomplete_details=Incomplete("max_output_tokens")
            if end.reason is FinishReason.LENGTH
            else None,
        )
        if response.store:
            self._memory.keep(response, (*self._messages, *self._said(response)))
        return response

    def _said(self, response: Response) -> Sequence[ChatMessage]:
        """The answer as a message of the conversation."""
        calls = tuple(
            ToolCall(item.call_id, FunctionCall(item.name, item.arguments))
            for item in response.output
            if isinstance(item, OutputCall)
        )
        text = response.output_text
        return [ChatMessage(Role.ASSISTANT, text, calls or None)] if text or calls else []

    def _response(self, about: About, status: ItemStatus, **more: object) -> Response:
        ask = self._ask
        return Response(
            id=about.id,
            created_at=about.created,
            model=about.model,
            status=status,
            output=tuple(self._items),
            instructions=ask.instructions,
            previous_response_id=ask.previous_response_id,
            max_output_tokens=ask.max_output_tokens,
            temperature=ask.temperature,
            top_p=ask.top_p,
            text=ask.text or TextOptions(),
            tools=ask.tools or (),
            tool_choice=ask.tool_choice or ToolMode.AUTO,
            parallel_tool_calls=ask.parallel_tool_calls is not False,
            store=ask.store is not False,
            metadata=ask.metadata or {},
            **more,  # type: ignore[arg-type]
        )


def _status(end: Finished) -> ItemStatus:
    cut = end.reason is FinishReason.LENGTH
    return ItemStatus.INCOMPLETE if cut else ItemStatus.COMPLETED


def _name(prefix: str) -> str:
    return prefix + secrets.token_hex(16)
