"""The HTTP side: the endpoints, and every error in OpenAI's shape."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from llmos_api.types import (
    ChatRequest,
    ErrorBody,
    ErrorDetail,
    JsonObjectFormat,
    JsonSchemaFormat,
    ModelList,
    ServiceTier,
)
from llmos_engine.answers import CLIENT_GONE, Answer, streamed, whole
from llmos_engine.backends.base import Constraint, Sampling
from llmos_engine.engine import Engine
from llmos_engine.errors import InvalidRequest, NotReady, Refused, TooLarge
from llmos_engine.jobs import Work
from llmos_engine.metrics import CONTENT_TYPE
from llmos_engine.models import ModelStore
from llmos_engine.scheduling.request import Priority
from llmos_engine.schema import compile_schema
from llmos_models.errors import ModelError

MAX_BODY: Final = 1024 * 1024
BODY_TIMEOUT: Final = 30.0
"""Seconds in which a body must arrive."""

_PRIORITIES: Final[Mapping[ServiceTier | None, Priority]] = {
    ServiceTier.DEFAULT: Priority.SERVICE,
    ServiceTier.FLEX: Priority.BATCH,
}
T = TypeVar("T")

_DECODER: Final = msgspec.json.Decoder(ChatRequest)


def make_app(engine: Engine) -> Starlette:
    """Make the application in front of ``engine``."""
    app = Starlette(
        routes=[
            Route("/health", _health, methods=["GET"]),
            Route("/metrics", _metrics, methods=["GET"]),
            Route("/v1/models", _models, methods=["GET"]),
            Route("/v1/chat/completions", _chat, methods=["POST"]),
        ],
        exception_handlers={
            Refused: _refused,
            HTTPException: _http_error,
            ClientDisconnect: _gone,
            Exception: _fault,
        },
    )
    app.state.engine = engine
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
    engine = _engine(request)
    ask = decode_request(await _body(request))
    # A schema takes milliseconds to compile and a model file to look at: not on the loop.
    work = await asyncio.to_thread(make_work, ask, engine.store)
    answer = Answer(engine, choices_of(work, ask.n or 1), request)
    if ask.stream:
        usage = ask.stream_options is not None and ask.stream_options.include_usage
        return await streamed(answer, include_usage=usage)
    return await whole(answer)


def decode_request(body: bytes) -> ChatRequest:
    """Decode a body; raises :class:`~llmos_engine.errors.InvalidRequest` with the path."""
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        # A value is at `$.a.b`, and a wrong name of a member at `key` in `$.a`.
        path = place.rpartition("`$")[2].removesuffix("`").removeprefix(".")
        where = f"{path}: " if path else ""
        raise InvalidRequest(f"{where}{what}", param=path or None, code="invalid_value") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}", code="invalid_json") from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deep", code="invalid_json") from None


def make_work(ask: ChatRequest, store: ModelStore) -> Work:
    """Check what can be checked without the model; raises ``Refused``."""
    try:
        model = store.find(ask.model)
    except ModelError as error:
        raise NotReady(str(error), code="model_failed") from error
    return Work(
        model=model,
        messages=ask.messages,
        sampling=_sampling(ask),
        stops=ask.stops,
        limit=ask.token_limit,
        priority=_PRIORITIES.get(ask.service_tier, Priority.INTERACTIVE),
    )


def choices_of(work: Work, number: int) -> list[Work]:
    """The same work ``number`` times; with a seed each has its own."""
    seed = work.sampling.seed
    if seed is None:
        return [work] * number
    seeds = (replace(work.sampling, seed=seed + index) for index in range(number))
    return [replace(work, sampling=sampling) for sampling in seeds]


def _sampling(ask: ChatRequest) -> Sampling:
    usual = Sampling()
    return Sampling(
        temperature=_or(ask.temperature, usual.temperature),
        top_p=_or(ask.top_p, usual.top_p),
        top_k=_or(ask.top_k, usual.top_k),
        min_p=_or(ask.min_p, usual.min_p),
        frequency_penalty=_or(ask.frequency_penalty, usual.frequency_penalty),
        presence_penalty=_or(ask.presence_penalty, usual.presence_penalty),
        bias=ask.logit_bias or {},
        seed=ask.seed,
        constraint=_constraint(ask),
    )


def _or(said: T | None, usual: T) -> T:
    return usual if said is None else said


def _constraint(ask: ChatRequest) -> Constraint | None:
    match ask.response_format:
        case JsonSchemaFormat(json_schema=wanted):
            return Constraint(wanted.schema, compile_schema(wanted.schema))
        case JsonObjectFormat():
            schema = {"type": "object"}
            return Constraint(schema, compile_schema(schema))
        case _:
            return None


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
