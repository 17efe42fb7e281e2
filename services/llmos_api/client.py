"""The client: HTTP/1.1 over the engine's UNIX socket."""

import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

import msgspec

from llmos_api import sse
from llmos_api.errors import (
    BadAnswer,
    BadRequest,
    EngineBusy,
    EngineError,
    EngineFault,
    EngineNotReady,
    EngineUnavailable,
    StreamBroken,
    UnknownModel,
)
from llmos_api.types import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    ErrorBody,
    Health,
    Model,
    ModelList,
)

if TYPE_CHECKING:  # importing httpx takes longer than everything else here together
    import httpx

DEFAULT_SOCKET: Final = Path("/run/llmos/engine.sock")

QUICK_TIMEOUT: Final = 10.0
"""Seconds for connecting, and for answers that need no model."""

SILENCE_TIMEOUT: Final = 60.0
"""Seconds without a byte on a stream; the engine sends a comment every 10."""

T = TypeVar("T")


def default_socket() -> Path:
    """Return the engine's socket: ``$LLMOS_ENGINE_SOCKET``, or the system's."""
    return Path(os.environ.get("LLMOS_ENGINE_SOCKET") or DEFAULT_SOCKET)


class EngineClient:
    """Asks the engine. Use it as ``async with EngineClient() as engine:``.

    Every method raises :class:`~llmos_api.errors.EngineError` or a child of it, and no
    other exception, when there is no answer.
    """

    def __init__(self, socket: Path | None = None) -> None:
        self.socket = socket or default_socket()
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        import httpx  # noqa: PLC0415 - see TYPE_CHECKING above

        self._http = httpx.AsyncClient(
            # The host name is never looked up; HTTP/1.1 only wants one.
            base_url="http://engine",
            transport=httpx.AsyncHTTPTransport(uds=str(self.socket)),
            timeout=QUICK_TIMEOUT,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def health(self) -> Health:
        """Ask where the engine stands; loading and failed are answers, not errors."""
        with self._translated():
            response = await self._client().get("/health")
        if response.status_code not in {200, 503}:
            raise error_of(response.status_code, response.headers, response.content)
        return _decode(response.content, Health)

    async def models(self) -> list[Model]:
        """List the models that a request can name."""
        with self._translated():
            response = await self._client().get("/v1/models")
        return list(_answer(response, ModelList).data)

    async def chat(self, request: ChatRequest) -> ChatCompletion:
        """Wait for the whole answer. Cancelling the task stops the engine's work on it."""
        request = msgspec.structs.replace(request, stream=False)
        with self._translated():
            response = await self._client().post(
                "/v1/chat/completions",
                content=_encode(request),
                headers={"content-type": "application/json"},
                # No limit on the answer: a long one on a slow machine takes minutes.
                timeout=_timeout(read=None),
            )
        return _answer(response, ChatCompletion)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk]:
        """Yield the answer as it is made.

        Closing the iterator (``contextlib.aclosing``), or cancelling the task that waits on
        it, closes the connection, and the engine stops within one token. Raises
        :class:`~llmos_api.errors.StreamBroken` when the answer ends before its end.
        """
        request = msgspec.structs.replace(request, stream=True)
        with self._translated(streaming=True):
            async with self._client().stream(
                "POST",
                "/v1/chat/completions",
                content=_encode(request),
                headers={"content-type": "application/json"},
                timeout=_timeout(read=SILENCE_TIMEOUT),
            ) as response:
                if response.status_code != 200:
                    body = await response.aread()
                    raise error_of(response.status_code, response.headers, body)
                parser = sse.EventParser()
                async for piece in response.aiter_bytes():
                    for event in _events(parser, piece):
                        if event == "[DONE]":
                            return
                        yield _chunk(event)
        raise StreamBroken("the engine ended the answer before its end")

    def _client(self) -> "httpx.AsyncClient":
        if self._http is None:
            raise RuntimeError("use the client as `async with EngineClient() as engine:`")
        return self._http

    @contextmanager
    def _translated(self, *, streaming: bool = False) -> Iterator[None]:
        """Turn httpx's exceptions into the engine's."""
        import httpx  # noqa: PLC0415 - see TYPE_CHECKING above

        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise EngineUnavailable(self.socket, _reason(error)) from error
        except httpx.ReadTimeout as error:
            seconds = SILENCE_TIMEOUT if streaming else QUICK_TIMEOUT
            raise StreamBroken(f"the engine said nothing for {seconds:.0f} seconds") from error
        except httpx.RemoteProtocolError as error:
            raise StreamBroken(f"the connection to the engine broke: {error}") from error
        except httpx.TransportError as error:
            raise StreamBroken(f"the connection to the engine broke: {_reason(error)}") from error


def error_of(status: int, headers: "httpx.Headers", body: bytes) -> EngineError:
    """Return the typed error for an HTTP answer that is not a success."""
    try:
        detail = msgspec.json.decode(body, type=ErrorBody).error
    except msgspec.DecodeError:
        return BadAnswer(f"the engine answered with HTTP status {status} and no reason")
    match status:
        case 404 if detail.code == "model_not_found":
            return UnknownModel(detail.message, param=detail.param, code=detail.code)
        case 429:
            return EngineBusy(detail.message, retry_after=_seconds(headers.get("retry-after")))
        case 503:
            return EngineNotReady(detail.message)
        case _ if 400 <= status < 500:
            return BadRequest(detail.message, param=detail.param, code=detail.code)
        case _:
            return EngineFault(detail.message)


def _encode(request: ChatRequest) -> bytes:
    try:
        return msgspec.json.encode(request)
    except UnicodeEncodeError:
        # What a terminal sends need not be UTF-8, and Python keeps such bytes as surrogates.
        what = "the request has characters that are no text (lone surrogates)"
        raise BadRequest(what, code="invalid_text") from None


def _answer(response: "httpx.Response", kind: type[T]) -> T:
    if response.status_code != 200:
        raise error_of(response.status_code, response.headers, response.content)
    return _decode(response.content, kind)


def _decode(body: bytes | str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise BadAnswer(f"the engine's answer is not as it should be: {error}") from error


def _events(parser: sse.EventParser, piece: bytes) -> list[str]:
    try:
        return parser.feed(piece)
    except sse.EventTooLong as error:
        raise BadAnswer("the engine's answer has an event without an end") from error


def _chunk(event: str) -> ChatChunk:
    """Decode one event; an error in the middle of a stream comes as an event too."""
    try:
        return msgspec.json.decode(event, type=ChatChunk)
    except msgspec.DecodeError as error:
        try:
            detail = msgspec.json.decode(event, type=ErrorBody).error
        except msgspec.DecodeError:
            raise BadAnswer(f"the engine's answer is not as it should be: {error}") from error
        raise EngineFault(detail.message) from None


def _timeout(*, read: float | None) -> "httpx.Timeout":
    import httpx  # noqa: PLC0415 - see TYPE_CHECKING above

    return httpx.Timeout(QUICK_TIMEOUT, read=read)


def _reason(error: Exception) -> str:
    """Say in words why a connection failed: httpx keeps the errno in the cause's cause."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def _seconds(value: str | None) -> float:
    try:
        return max(0.0, float(value or 1))
    except ValueError:
        return 1.0
