"""The service as a process behind a real socket: with the echo back end, and real llama.cpp."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from llmos_api import (
    BadRequest,
    EngineBusy,
    EngineClient,
    EngineFault,
    EngineUnavailable,
    FinishReason,
    HealthStatus,
)
from llmos_engine.backends.echo import SLOTS as ECHO_SLOTS
from llmos_engine.backends.llama import SLOTS as LLAMA_SLOTS
from tests.integration.engine_process import (
    CONTEXT,
    ENDLESS,
    PATIENCE,
    PLAN,
    Launcher,
    ask,
    shaped,
)
from tests.unit.models.gguf_file import tiny_model

pytestmark = pytest.mark.integration


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
    slots = {"echo": ECHO_SLOTS, "llama": LLAMA_SLOTS}[engine.name]
    async with engine.running("--queue", "1") as service, service.client() as client:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(slots):
                answer = client.stream(shaped(ENDLESS, "x" * 2000))
                running = await stack.enter_async_context(contextlib.aclosing(answer))
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
