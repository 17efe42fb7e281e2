"""The HTTP side: the endpoints, and every error in OpenAI's shape."""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from llmos_api.completions import CompletionRequest, DetokenizeRequest, TokenizeRequest
from llmos_api.responses import Deleted, ResponseRequest
from llmos_api.types import (
    ChatMessage,
    ChatRequest,
    ErrorBody,
    ErrorDetail,
    GenerationRequest,
    ModelList,
)
from llmos_engine.answers import CLIENT_GONE, Answer, found, whole
from llmos_engine.chat_answers import ChatWording
from llmos_engine.completion_answers import CompletionWording
from llmos_engine.engine import Engine
from llmos_engine.errors import InvalidRequest, Refused, TooLarge
from llmos_engine.intake import chat_works, completion_works, decode, lookup
from llmos_engine.jobs import Work
from llmos_engine.metrics import CONTENT_TYPE
from llmos_engine.responses.intake import chat, conversation
from llmos_engine.responses.memory import Memory
from llmos_engine.responses.wording import ResponseWording
from llmos_engine.streams import streamed
from llmos_engine.tokens import Detokenize, Question, Tokenize
from llmos_engine.tools.asked import offer_of
from llmos_engine.wording import Wording

MAX_BODY: Final = 1024 * 1024
BODY_TIMEOUT: Final = 30.0
"""Seconds in which a body must arrive."""


def make_app(engine: Engine) -> Starlette:
    """Make the application in front of ``engine``."""
    app = Starlette(
        routes=[
            Route("/health", _health, methods=["GET"]),
            Route("/metrics", _metrics, methods=["GET"]),
            Route("/v1/models", _models, methods=["GET"]),
            Route("/v1/chat/completions", _chat, methods=["POST"]),
            Route("/v1/completions", _completion, methods=["POST"]),
            Route("/v1/responses", _respond, methods=["POST"]),
            Route("/v1/responses/{name}", _response, methods=["GET", "DELETE"]),
            Route("/tokenize", _tokenize, methods=["POST"]),
            Route("/detokenize", _detokenize, methods=["POST"]),
        ],
        exception_handlers={
            Refused: _refused,
            HTTPException: _http_error,
            ClientDisconnect: _gone,
            Exception: _fault,
        },
    )
    app.state.engine = engine
    app.state.memory = Memory()
    return app


async def _health(request: Request) -> Response:
    health = _engine(request).health
    return _json(health, status=health.status.http_status)


async def _metrics(request: Request) -> Response:
    return Response(_engine(request).metrics.text(), media_type=CONTENT_TYPE)


async def _models(request: Request) -> Response:
    catalogue = await asyncio.to_thread(_engine(request).store.scan)
    return _json(ModelList(tuple(m.wire for _, m in sorted(catalogue.models.items()))))


async def _chat(request: Request) -> Response:
    ask = decode(await _body(request), ChatRequest)
    offer = offer_of(ask)
    # A schema takes milliseconds to compile and a model file to look at: not on the loop.
    works = await asyncio.to_thread(chat_works, ask, offer, _engine(request).store)
    return await _generated(request, ask, works, ChatWording(offer))


async def _completion(request: Request) -> Response:
    ask = decode(await _body(request), CompletionRequest)
    works = await asyncio.to_thread(completion_works, ask, _engine(request).store)
    return await _generated(request, ask, works, CompletionWording())


async def _respond(request: Request) -> Response:
    ask = decode(await _body(request), ResponseRequest)
    memory: Memory = request.app.state.memory
    before: tuple[ChatMessage, ...] = ()
    if ask.previous_response_id is not None:
        before = memory.find(ask.previous_response_id, "previous_response_id").messages
    messages = conversation(ask, before)
    meant = chat(ask, messages)
    offer = offer_of(meant)
    works = await asyncio.to_thread(chat_works, meant, offer, _engine(request).store)
    wording = ResponseWording(ask, messages, offer, memory)
    return await _answered(request, works, wording, stream=bool(ask.stream))


async def _response(request: Request) -> Response:
    memory: Memory = request.app.state.memory
    name = request.path_params["name"]
    if request.method == "GET":
        return _json(memory.find(name).response)
    memory.forget(name)
    return _json(Deleted(name))


async def _generated(
    request: Request, ask: GenerationRequest, works: Sequence[Work], wording: Wording
) -> Response:
    usage = ask.stream_options is not None and ask.stream_options.include_usage
    return await _answered(request, works, wording, stream=bool(ask.stream), include_usage=usage)


async def _answered(
    request: Request,
    works: Sequence[Work],
    wording: Wording,
    *,
    stream: bool,
    include_usage: bool = False,
) -> Response:
    answer = Answer(_engine(request), works, request, wording.prefix)
    if stream:
        return await streamed(answer, wording, include_usage=include_usage)
    return await whole(answer, wording)


async def _tokenize(request: Request) -> Response:
    return await _found(request, Tokenize(decode(await _body(request), TokenizeRequest)))


async def _detokenize(request: Request) -> Response:
    return await _found(request, Detokenize(decode(await _body(request), DetokenizeRequest)))


async def _found(request: Request, question: Question) -> Response:
    """Answer with what a model says to a question."""
    engine = _engine(request)
    work = await asyncio.to_thread(lookup, question, engine.store)
    value = await found(Answer(engine, [work], request))
    if value is None:
        return Response(status_code=CLIENT_GONE)
    return Response(value, media_type="application/json")


async def _body(request: Request) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_BODY:
                    raise TooLarge(MAX_BODY)
    except TimeoutError:
        what = f"the body did not arrive within {BODY_TIMEOUT:.0f} seconds"
        raise InvalidRequest(what, code="body_timeout") from None
    return body


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _json(
    value: msgspec.Struct, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    body = msgspec.json.encode(value)
    return Response(body, status_code=status, headers=headers, media_type="application/json")


async def _refused(_: Request, error: Exception) -> Response:
    if not isinstance(error, Refused):
        raise error
    return _json(error.body, status=error.status, headers=error.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    what = f"{request.method} {request.url.path}: {error.detail}"
    code = re.sub(r"\W+", "_", error.detail.lower())
    detail = ErrorDetail(what, "invalid_request_error", code=code)
    headers = dict(error.headers) if error.headers else None
    return _json(ErrorBody(detail), status=error.status_code, headers=headers)


async def _gone(_: Request, error: Exception) -> Response:
    del error
    return Response(status_code=CLIENT_GONE)


async def _fault(_: Request, error: Exception) -> Response:
    what = f"the engine failed: {type(error).__name__}"
    return _json(ErrorBody(ErrorDetail(what, "engine_error", code="engine_fault")), status=500)
