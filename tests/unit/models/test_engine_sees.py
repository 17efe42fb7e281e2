"""The engine follows the store by itself: nobody restarts it, nobody tells it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmos_engine.app import make_app
from llmos_engine.backends.base import BackendOptions
from llmos_engine.backends.echo import EchoBackend
from llmos_engine.engine import Engine
from llmos_engine.models import ModelStore
from llmos_models.change import changing
from llmos_models.local import local_offer
from llmos_models.meter import Silent
from llmos_models.scrub import scrub
from llmos_models.store import Store
from tests.unit.engine.in_thread import InThread
from tests.unit.models.model_files import damage, digest, write_gguf

PATIENCE = 10.0


@dataclass
class Running:
    """An engine beside a store."""

    engine: Engine
    store: Store

    def get(self, path: str) -> Any:
        return asyncio.run(self._ask("GET", path)).json()

    def answer(self) -> str:
        """Which model answers who names none."""
        chat = {"messages": [{"role": "user", "content": "hello"}]}
        return str(asyncio.run(self._ask("POST", "/v1/chat/completions", chat)).json()["model"])

    def ids(self) -> list[str]:
        return sorted(one["id"] for one in self.get("/v1/models")["data"])

    async def _ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        transport = httpx.ASGITransport(make_app(self.engine))
        async with httpx.AsyncClient(transport=transport, base_url="http://engine") as http:
            return await http.request(method, path, json=body)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    store = Store(tmp_path / "store", shipped=tmp_path / "shipped")
    models = ModelStore([store.shipped, store.folder])
    engine = Engine(InThread(EchoBackend(BackendOptions(context=256))), models)
    engine.start()
    yield Running(engine, store)
    assert engine.stop(PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_the_store_does_counts_from_the_next_request_on(
    running: Running, tmp_path: Path
) -> None:
    until(lambda: running.get("/health")["status"] == "failed")  # there is no model at all
    poet, coder = write_gguf(tmp_path / "poet.gguf"), write_gguf(tmp_path / "coder.gguf", seed=2)
    with changing(running.store) as change:
        change.add(local_offer(poet), Silent())
    until(lambda: running.get("/health").get("model") == "poet")
    with changing(running.store) as change:
        change.add(local_offer(coder), Silent())
        change.make_default("coder")
    assert running.ids() == ["coder", "poet"]
    assert running.answer() == "coder"
    with changing(running.store) as change:
        change.make_default("poet")
    assert running.answer() == "poet"
    damage(running.store.blob(digest(poet)))
    with changing(running.store) as change:
        assert not scrub(change, None, Silent()).is_sound
    assert running.ids() == ["coder"]
    assert running.answer() == "coder"
    with changing(running.store) as change:
        change.remove("coder")
    assert not running.ids()
