"""The client against servers that misbehave, over a real UNIX socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from llmos_api import (
    BadAnswer,
    BadRequest,
    ChatMessage,
    ChatRequest,
    EngineBusy,
    EngineClient,
    EngineError,
    EngineFault,
    EngineNotReady,
    EngineUnavailable,
    HealthStatus,
    StreamBroken,
    UnknownModel,
    default_socket,
)

REQUEST = ChatRequest((ChatMessage.user("hi"),))
CHUNK = (
    b'data: {"id":"1","created":1,"model":"m","object":"chat.completion.chunk",'
    b'"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
)
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer(status: str, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


def error(code: str = "some_code", param: str = "null") -> bytes:
    return b'{"error":{"message":"told","type":"t","param":%s,"code":"%s"}}' % (
        param.encode(),
        code.encode(),
    )


@asynccontextmanager
async def engine(tmp_path: Path, handler: Handler) -> AsyncIterator[EngineClient]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_unix_server(handle, tmp_path / "engine.sock")
    async with server, EngineClient(tmp_path / "engine.sock") as client:
        yield client


def saying(raw: bytes) -> Handler:
    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return handler


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (answer("400 Bad", error(param='"messages[0].role"')), BadRequest),
        (answer("404 Not", error("model_not_found")), UnknownModel),
        (answer("404 Not", error("not_found")), BadRequest),
        (answer("413 Long", error()), BadRequest),
        (answer("429 Busy", error(), "retry-after: 7\r\n"), EngineBusy),
        (answer("500 Oops", error()), EngineFault),
        (answer("503 No", error()), EngineNotReady),
    ],
)
async def test_an_error_answer_becomes_its_type(
    tmp_path: Path, raw: bytes, kind: type[EngineError]
) -> None:
    async with engine(tmp_path, saying(raw)) as client:
        with pytest.raises(kind, match="told") as caught:
            await client.chat(REQUEST)
        assert type(caught.value) is kind
    async with engine(tmp_path, saying(raw)) as client:
        with pytest.raises(kind, match="told"):
            _ = [chunk async for chunk in client.stream(REQUEST)]


async def test_a_refusal_names_the_value_and_a_full_queue_the_time(tmp_path: Path) -> None:
    raw = answer("400 Bad", error(param='"messages[0].role"'))
    async with engine(tmp_path, saying(raw)) as client:
        with pytest.raises(BadRequest) as refused:
            await client.chat(REQUEST)
    assert (refused.value.param, refused.value.code) == ("messages[0].role", "some_code")
    async with engine(tmp_path, saying(answer("429 B", error(), "retry-after: 7\r\n"))) as client:
        with pytest.raises(EngineBusy) as busy:
            await client.chat(REQUEST)
    assert busy.value.retry_after == 7


@pytest.mark.parametrize(
    "raw", [answer("200 OK", b"<html>"), answer("502 Bad", b"gone"), answer("200 OK", b"{}")]
)
async def test_something_else_on_the_socket_is_a_bad_answer(tmp_path: Path, raw: bytes) -> None:
    async with engine(tmp_path, saying(raw)) as client:
        with pytest.raises(BadAnswer):
            await client.chat(REQUEST)


async def test_loading_is_an_answer_about_health(tmp_path: Path) -> None:
    raw = answer("503 Not ready", b'{"status":"loading"}')
    async with engine(tmp_path, saying(raw)) as client:
        health = await client.health()
    assert (health.status, health.ready) == (HealthStatus.LOADING, False)


async def test_a_stream_is_followed_to_its_end(tmp_path: Path) -> None:
    raw = STREAM + b": hello\n\n" + CHUNK + CHUNK + b"data: [DONE]\n\n"
    async with engine(tmp_path, saying(raw)) as client:
        assert [chunk.text async for chunk in client.stream(REQUEST)] == ["a", "a"]


@pytest.mark.parametrize("rest", [b"", b"data: {", CHUNK])
async def test_a_stream_without_its_end_is_broken(tmp_path: Path, rest: bytes) -> None:
    async with engine(tmp_path, saying(STREAM + CHUNK + rest)) as client:
        chunks = client.stream(REQUEST)
        assert (await anext(chunks)).text == "a"
        with pytest.raises(StreamBroken):
            _ = [chunk async for chunk in chunks]


async def test_a_connection_that_breaks_in_a_chunk_is_a_broken_stream(tmp_path: Path) -> None:
    raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\ndata: "
    async with engine(tmp_path, saying(raw)) as client:
        with pytest.raises(StreamBroken):
            _ = [chunk async for chunk in client.stream(REQUEST)]


async def test_an_error_in_the_middle_of_a_stream_is_told(tmp_path: Path) -> None:
    raw = STREAM + CHUNK + b"data: " + error() + b"\n\n"
    async with engine(tmp_path, saying(raw)) as client:
        with pytest.raises(EngineFault, match="told"):
            _ = [chunk async for chunk in client.stream(REQUEST)]


async def test_an_event_that_is_no_chunk_is_a_bad_answer(tmp_path: Path) -> None:
    async with engine(tmp_path, saying(STREAM + b"data: 1\n\n")) as client:
        with pytest.raises(BadAnswer):
            _ = [chunk async for chunk in client.stream(REQUEST)]


async def test_closing_the_iterator_closes_the_connection(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + CHUNK)
        await writer.drain()
        while await reader.read(4096):
            pass
        gone.set()

    async with engine(tmp_path, handler) as client:
        chunks = client.stream(REQUEST)
        assert (await anext(chunks)).text == "a"
        await chunks.aclose()
        await asyncio.wait_for(gone.wait(), 5)


async def test_cancelling_the_task_closes_the_connection(tmp_path: Path) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.set()
        while await reader.read(4096):
            pass
        gone.set()

    async with engine(tmp_path, handler) as client:
        task = asyncio.create_task(client.chat(REQUEST))
        await asyncio.wait_for(asked.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 5)


async def test_nobody_on_the_socket_is_said_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "none.sock"
    async with EngineClient(path) as client:
        with pytest.raises(EngineUnavailable, match="No such file") as caught:
            await client.health()
        with pytest.raises(EngineUnavailable):
            _ = [chunk async for chunk in client.stream(REQUEST)]
    assert str(path) in str(caught.value)


async def test_what_is_no_text_is_refused_before_it_is_sent() -> None:
    async with EngineClient(Path("none.sock")) as client:
        with pytest.raises(BadRequest, match="no text"):
            await client.chat(ChatRequest((ChatMessage.user("a\udcff"),)))


async def test_a_client_outside_of_its_block_says_how_to_use_it() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await EngineClient(Path("x")).health()


def test_the_environment_chooses_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMOS_ENGINE_SOCKET", raising=False)
    assert default_socket() == Path("/run/llmos/engine.sock")
    monkeypatch.setenv("LLMOS_ENGINE_SOCKET", "/tmp/other.sock")
    assert EngineClient().socket == Path("/tmp/other.sock")
