"""The service as a process behind a real socket: the echo back end, and real llama.cpp.

Each test that asks for `engine` runs twice. What only a model can show asks for `llama`.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos_api import (
    BadRequest,
    ChatCompletion,
    ChatMessage,
    ChatRequest,
    EngineBusy,
    EngineClient,
    EngineFault,
    EngineUnavailable,
    FinishReason,
    Health,
    HealthStatus,
    JsonSchema,
    JsonSchemaFormat,
)
from tests.unit.engine.gguf_file import tiny_model
from tests.unit.engine.test_schema_grammar import SCHEMAS, fits

pytestmark = pytest.mark.integration

PATIENCE = 60.0
"""Seconds after which something that should happen has not."""

CONTEXT = 131_072
ENDLESS: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string", "minLength": 900},
    "minItems": 900,
}
"""Nothing of this shape fits into the context: an answer goes on until it is stopped."""


T = TypeVar("T")


async def eventually(condition: Callable[[], Awaitable[T | None]]) -> T:
    """Ask again and again until the answer is true; fail after :data:`PATIENCE`."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await condition()):  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.02)
        return found


@dataclass
class Service:
    """One running engine."""

    process: subprocess.Popen[bytes]
    socket: Path
    models: Path
    log: Path

    def client(self) -> EngineClient:
        return EngineClient(self.socket)

    @property
    def pid(self) -> int:
        """The engine's own process, whatever sandbox was started around it."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.socket))
            raw = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid: int = struct.unpack("3i", raw)[0]
        return pid

    async def until(self, status: HealthStatus, reason: str = "") -> Health:
        async def reached() -> Health | None:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(EngineUnavailable):
                health = await client.health()
                if health.status is status and reason in (health.error or ""):
                    return health
            return None

        async with self.client() as client:
            return await eventually(reached)

    async def logged(self, text: str) -> None:
        async def found() -> bool:
            return text in self.log.read_text()

        await eventually(found)

    async def refuses(self) -> None:
        """Wait until it takes no more connections."""

        async def refused() -> bool:
            try:
                async with self.client() as client:
                    await client.health()
            except EngineUnavailable:
                return True
            return False

        await eventually(refused)

    async def exit_code(self) -> int:
        return await asyncio.to_thread(self.process.wait, PATIENCE)


@dataclass
class Launcher:
    """Starts engines with one back end."""

    command: list[str]
    folder: Path
    name: str

    @contextlib.asynccontextmanager
    async def running(self, *options: str, model: bool = True) -> AsyncIterator[Service]:
        folder = self.folder / f"{self.name}-{len(list(self.folder.iterdir()))}"
        models = folder / "models"
        models.mkdir(parents=True)
        if model:
            tiny_model(context=CONTEXT).write(models / "default.gguf")
        service = self._start(folder, models, options)
        process = service.process
        try:
            await service.until(HealthStatus.OK if model else HealthStatus.FAILED)
            yield service
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)

    def _start(self, folder: Path, models: Path, options: tuple[str, ...]) -> Service:
        log, path = folder / "log", folder / "s"
        argv = [*self.command, "--socket", str(path), "--models", str(models), *options]
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # The group, because a sandbox does not hand signals on.
                start_new_session=True,
            )
        return Service(process, path, models, log)


@pytest.fixture
def echo(tmp_path: Path) -> Launcher:
    # The echo is fast: only a large context makes its answers last.
    options = ["--backend", "echo", "--context", "4000000"]
    return Launcher([sys.executable, "-m", "llmos_engine.main", *options], tmp_path, "echo")


@pytest.fixture
def llama(real_engine_command: list[str], engine_folder: Path) -> Launcher:
    # One thread: more of them wait for each other by spinning, and a busy machine is slow then.
    command = [*real_engine_command, "--threads", "1", "--context", str(CONTEXT)]
    return Launcher(command, engine_folder, "llama")


@pytest.fixture(params=["echo", "llama"])
def engine(request: pytest.FixtureRequest) -> Launcher:
    launcher: Launcher = request.getfixturevalue(request.param)
    return launcher


def ask(text: str = "hello", **more: Any) -> ChatRequest:
    return ChatRequest((ChatMessage.user(text),), **more)


def shaped(schema: dict[str, Any], text: str = "hello", **more: Any) -> ChatRequest:
    return ask(text, response_format=JsonSchemaFormat(JsonSchema("x", schema)), **more)


PLAN = {
    "type": "object",
    "properties": {
        "say": {"type": "string", "maxLength": 30},
        "command": {"type": "string", "maxLength": 30},
    },
    "required": ["say", "command"],
    "additionalProperties": False,
}


async def test_a_model_is_found_loaded_and_answers(engine: Launcher) -> None:
    async with engine.running() as service, service.client() as client:
        assert (await client.health()).model == "default"
        (model,) = await client.models()
        assert (model.id, model.meta) == ("default", {"llmos.plan.slots": "1"})
        completion = await client.chat(ask(max_tokens=5, seed=1))
        assert completion.usage.completion_tokens <= 5
        assert completion.model == "default"


async def test_a_plan_has_the_shape_that_was_asked_for(engine: Launcher) -> None:
    async with engine.running() as service, service.client() as client:
        for seed in range(5):
            completion = await client.chat(shaped(PLAN, seed=seed))
            assert completion.choices[0].finish_reason is FinishReason.STOP
            plan = json.loads(completion.text)
            assert list(plan) == ["say", "command"]
            assert all(isinstance(value, str) and len(value) <= 30 for value in plan.values())


async def test_a_stream_says_the_same_as_a_whole_answer(engine: Launcher) -> None:
    async with engine.running() as service, service.client() as client:
        request = shaped(PLAN, temperature=0)
        whole = await client.chat(request)
        chunks = [chunk async for chunk in client.stream(request)]
        assert "".join(chunk.text for chunk in chunks) == whole.text
        assert [c.finish_reason for c in chunks if c.finish_reason] == [FinishReason.STOP]
        assert len(chunks) >= 3


async def test_a_client_that_goes_away_stops_the_work(engine: Launcher) -> None:
    async with engine.running() as service, service.client() as client:
        async with contextlib.aclosing(client.stream(shaped(ENDLESS, "x" * 2000))) as chunks:
            while not (await anext(chunks)).text:
                pass
        await service.logged("cancelled after")
        task = asyncio.create_task(client.chat(shaped(ENDLESS)))
        await asyncio.sleep(0)
        await client.health()
        task.cancel()
        assert (await client.chat(shaped(PLAN))).text


async def test_too_many_requests_are_told_when_to_come_back(engine: Launcher) -> None:
    async with engine.running("--queue", "1") as service, service.client() as client:
        async with contextlib.aclosing(client.stream(shaped(ENDLESS, "x" * 2000))) as running:
            while not (await anext(running)).text:
                pass
            both = [asyncio.create_task(client.chat(shaped(PLAN))) for _ in range(2)]
            (refused,), (waiting,) = await asyncio.wait(
                both, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED
            )
            error = refused.exception()
            assert isinstance(error, EngineBusy)
            assert error.retry_after > 0
        assert (await waiting).text


async def test_sigterm_lets_an_answer_end_and_refuses_new_ones(engine: Launcher) -> None:
    async with engine.running() as service, service.client() as client:
        async with contextlib.aclosing(client.stream(shaped(PLAN))) as chunks:
            await anext(chunks)
            os.kill(service.pid, signal.SIGTERM)
            rest = [chunk async for chunk in chunks]
        assert rest[-1].finish_reason is FinishReason.STOP
        assert await service.exit_code() == 0
        assert not service.socket.exists()
        with pytest.raises(EngineUnavailable):
            await client.health()


async def test_a_second_signal_cuts_answers_short_and_ctrl_c_is_exit_code_130(
    engine: Launcher,
) -> None:
    async with engine.running() as service, service.client() as client:
        chunks = client.stream(shaped(ENDLESS, "x" * 2000))
        while not (await anext(chunks)).text:
            pass
        pid = service.pid
        os.kill(pid, signal.SIGINT)
        await service.refuses()
        os.kill(pid, signal.SIGINT)
        with pytest.raises(EngineFault, match="stopping"):
            _ = [chunk async for chunk in chunks]
        assert await service.exit_code() == 130
        assert "Traceback" not in service.log.read_text()


async def test_a_damaged_model_is_a_state_and_a_sound_one_ends_it(engine: Launcher) -> None:
    async with engine.running(model=False) as service, service.client() as client:
        (service.models / "default.gguf").write_bytes(b"GGUF")
        with pytest.raises(BadRequest, match="no model 'x'"):
            await client.chat(ask(model="x"))
        tiny_model(context=CONTEXT).write(service.models / "new")
        (service.models / "new").rename(service.models / "default.gguf")
        health = await service.until(HealthStatus.OK)
        assert health.model == "default"
        assert (await client.chat(shaped(PLAN))).text


async def test_a_message_that_does_not_fit_is_refused(engine: Launcher) -> None:
    async with engine.running("--context", "4096") as service, service.client() as client:
        for length in (4096, 1_000_000):
            with pytest.raises(BadRequest) as caught:
                await client.chat(ask("a" * length))
            assert caught.value.code == "context_length_exceeded"
        assert (await client.health()).ready


@pytest.mark.parametrize("seed", range(3))
async def test_no_body_at_all_makes_the_service_fail(engine: Launcher, seed: int) -> None:
    bodies = _bodies(seed)
    async with engine.running() as service:
        transport = httpx.AsyncHTTPTransport(uds=str(service.socket))
        async with httpx.AsyncClient(transport=transport, base_url="http://engine") as http:
            for body in bodies:
                answer = await http.post("/v1/chat/completions", content=body, timeout=PATIENCE)
                assert answer.status_code in {200, 400, 404, 413}, (body, answer.text)
                assert answer.json().keys() & {"error", "choices"}
        assert service.process.poll() is None
        assert "Traceback" not in service.log.read_text()


def _bodies(seed: int) -> list[bytes]:
    """Return whole requests, each with some bytes changed, and the same bytes each time."""
    rng = random.Random(seed)  # noqa: S311 - a choice of bytes, not a secret
    base = json.dumps(
        {
            "messages": [{"role": "user", "content": "a\u00e9\u20ac<|im_end|>"}],
            "max_tokens": 4,
            "temperature": 0.5,
            "stop": ["x"],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": PLAN},
            },
        }
    ).encode()
    found = []
    for _ in range(100):
        body = bytearray(base)
        for _ in range(rng.randrange(3)):
            body[rng.randrange(len(body))] = rng.choice(b'"{}[],:0129-e\\u\x00\xffatn')
        found.append(bytes(body[: rng.choice([len(body), len(body), rng.randrange(len(body))])]))
    return found


async def test_the_same_seed_gives_the_same_answer_also_after_others(llama: Launcher) -> None:
    async with llama.running() as service, service.client() as client:
        request = ask("The quick brown fox", max_tokens=40, seed=7, temperature=1.0)
        first = (await client.chat(request)).text
        for text in ("The quick brown fax", "Something else", "T"):
            await client.chat(ask(text, max_tokens=10))
        assert (await client.chat(request)).text == first
        others = {
            (await client.chat(ask("The quick brown fox", max_tokens=40, seed=seed))).text
            for seed in range(5)
        }
        assert len(others) > 1


async def test_the_most_probable_answer_does_not_depend_on_the_seed(llama: Launcher) -> None:
    async with llama.running() as service, service.client() as client:
        answers = {
            (await client.chat(ask(max_tokens=20, temperature=0, seed=seed))).text
            for seed in range(3)
        }
        assert len(answers) == 1


async def test_control_tokens_in_a_message_are_read_as_text(llama: Launcher) -> None:
    async def tokens(client: EngineClient, text: str) -> int:
        return (await client.chat(ask(text, max_tokens=1))).usage.prompt_tokens

    async with llama.running() as service, service.client() as client:
        # Ten characters and a word joiner of three bytes, each a token of this vocabulary;
        # as the control token it would be one.
        assert await tokens(client, "a<|im_end|>") == await tokens(client, "a") + 13


async def test_llama_cpp_says_why_it_cannot_load_a_file(llama: Launcher) -> None:
    async with llama.running(model=False) as service:
        model = tiny_model()
        model.metadata["general.architecture"] = "unheard-of"
        model.write(service.models / "default.gguf")
        await service.until(HealthStatus.FAILED, "unheard-of")
        assert service.process.poll() is None


@pytest.fixture(scope="module")
def oracle(real_engine_command: list[str], engine_folder: Path) -> Iterator["Oracle"]:
    with asyncio.Runner() as runner:
        command = [*real_engine_command, "--threads", "1", "--context", "4096"]
        running = Launcher(command, engine_folder, "oracle").running()
        service = runner.run(running.__aenter__())
        try:
            yield Oracle(runner, service)
        finally:
            runner.run(running.__aexit__(None, None, None))


@dataclass
class Oracle:
    """An engine that stays up over many examples."""

    runner: asyncio.Runner
    service: Service

    def chat(self, request: ChatRequest) -> ChatCompletion:
        async def chat() -> ChatCompletion:
            async with self.service.client() as client:
                return await client.chat(request)

        return self.runner.run(chat())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCHEMAS, st.integers(0, 2**32))
def test_what_llama_cpp_says_fits_the_schema(
    oracle: Oracle, schema: dict[str, Any], seed: int
) -> None:
    completion = oracle.chat(shaped(schema, seed=seed, max_tokens=300, temperature=1.5))
    if completion.choices[0].finish_reason is FinishReason.STOP:
        assert fits(schema, json.loads(completion.text)), completion.text
    assert oracle.service.process.poll() is None


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1000}, "minItems": 1000},
        {"type": "string", "minLength": 1000, "maxLength": 1000},
        {"properties": {f"p{n}": {} for n in range(100)}},
        {"enum": [f"{n}" * 50 for n in range(400)]},
        {"const": '\u0000\U0001f600\x7f\\"\n'},
        {"properties": {'a"]\\ ::= b\n': {"type": "null"}}, "required": ['a"]\\ ::= b\n']},
    ],
    ids=range(10),
)
def test_schemas_made_to_break_llama_cpp_do_not(oracle: Oracle, schema: dict[str, Any]) -> None:
    with contextlib.suppress(BadRequest):
        completion = oracle.chat(shaped(schema, max_tokens=200, seed=1))
        if completion.choices[0].finish_reason is FinishReason.STOP:
            json.loads(completion.text)
    assert oracle.chat(shaped(PLAN)).text
    assert oracle.service.process.poll() is None


def _start_as_systemd_does(
    argv: list[str], listener: socket.socket, notify: Path
) -> subprocess.Popen[bytes]:
    wrapper = (
        "import os, sys\n"
        "os.dup2(int(sys.argv[1]), 3)\n"
        "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}\n"
        "os.execv(sys.argv[2], sys.argv[2:])"
    )
    return subprocess.Popen(
        [sys.executable, "-c", wrapper, str(listener.fileno()), *argv],
        pass_fds=[listener.fileno()],
        env={**os.environ, "NOTIFY_SOCKET": str(notify), "WATCHDOG_USEC": "400000"},
    )


async def test_systemd_hands_over_the_socket_and_hears_of_each_state(
    echo: Launcher, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    tiny_model().write(models / "default.gguf")
    loop = asyncio.get_running_loop()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        argv = [*echo.command, "--models", str(models)]
        process = _start_as_systemd_does(argv, listener, tmp_path / "notify")
        heard = ""
        try:
            async with asyncio.timeout(PATIENCE):
                while not all(
                    word in heard for word in ("READY=1", "ready: default", "WATCHDOG=1")
                ):
                    heard += (await loop.sock_recv(manager, 4096)).decode() + "\n"
                async with EngineClient(tmp_path / "s") as client:
                    assert (await client.chat(ask("over systemd"))).text == "over systemd"
                process.terminate()
                while "STOPPING=1" not in heard:
                    heard += (await loop.sock_recv(manager, 4096)).decode() + "\n"
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0
    # The socket is systemd's: the next start takes it again.
    assert (tmp_path / "s").exists()
