"""The engine's API without a socket, for tests; what the socket adds is tested elsewhere."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from llmos_api import ErrorBody
from llmos_engine.app import make_app
from llmos_engine.backends.base import BackendOptions
from llmos_engine.backends.echo import EchoBackend
from llmos_engine.engine import Engine
from llmos_engine.models import ModelStore
from tests.unit.engine.in_thread import InThread
from tests.unit.models.gguf_file import tiny_model

CHAT = "/v1/chat/completions"


class Api:
    """Asks the application without a socket; what the socket adds is tested elsewhere."""

    def __init__(self, engine: Engine) -> None:
        # Faults would reach the test as exceptions instead of the answers that clients get.
        self._transport = httpx.ASGITransport(make_app(engine), raise_app_exceptions=False)

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self._ask("GET", path, b""))

    def delete(self, path: str) -> httpx.Response:
        return asyncio.run(self._ask("DELETE", path, b""))

    def post(self, body: object, path: str = CHAT) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return asyncio.run(self._ask("POST", path, raw))

    async def _ask(self, method: str, path: str, body: bytes) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url="http://engine") as http:
            return await http.request(method, path, content=body)


def ask(text: str = "hello", **more: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], **more}


def detail(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/json"
    msgspec.json.decode(response.content, type=ErrorBody)
    error: dict[str, Any] = response.json()["error"]
    return error


def events(response: httpx.Response) -> list[str]:
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = response.text.split("\n\n")
    assert lines[-1] == ""
    return [line.removeprefix("data: ") for line in lines[:-1]]


@contextlib.contextmanager
def echoing(models: Path, *, context: int) -> Iterator[Api]:
    """Run an engine that repeats what it is told, with one model in the folder ``models``."""
    tiny_model().write(models / "default.gguf")
    backend = EchoBackend(BackendOptions(context=context))
    engine = Engine(InThread(backend), ModelStore([models]))
    engine.start()
    yield Api(engine)
    assert engine.stop(10)
