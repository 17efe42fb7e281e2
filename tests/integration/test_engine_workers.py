"""A process for each model: what happens to it costs its own requests, and nothing else."""

import contextlib
import os
import signal
from pathlib import Path

import httpx
import pytest

from llmos_api import EngineFault, EngineUnavailable, HealthStatus
from tests.bench.engine.metrics import value_in
from tests.integration.engine_process import ENDLESS, PLAN, Launcher, Service, eventually, shaped

pytestmark = pytest.mark.integration


def children(pid: int) -> list[int]:
    """The processes that ``pid`` is the parent of, the oldest first."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(child) for task in tasks for child in task.read_text().split())


def zygote_and_worker(service: Service) -> tuple[int, int]:
    zygote, worker, *_ = filter(runs, children(service.pid))
    return zygote, worker


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def another_worker(service: Service, worker: int) -> None:
    """Kill ``worker``, and wait until another one has loaded the model."""
    before = await loads(service)
    os.kill(worker, signal.SIGKILL)

    async def loaded_again() -> bool:
        return await loads(service) > before

    await eventually(loaded_again)


async def loads(service: Service) -> float:
    """How many models have been loaded so far."""
    transport = httpx.AsyncHTTPTransport(uds=str(service.socket))
    async with httpx.AsyncClient(transport=transport) as http:
        page = (await http.get("http://engine/metrics")).text
    return value_in(page, "llmos_engine_model_loads_total")


async def gone(*pids: int) -> None:
    async def all_gone() -> bool:
        return not any(map(runs, pids))

    await eventually(all_gone)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV])
async def test_a_worker_that_dies_costs_its_own_requests(
    engine: Launcher, number: signal.Signals
) -> None:
    async with engine.running() as service, service.client() as client:
        front = service.pid
        _, worker = zygote_and_worker(service)
        chunks = client.stream(shaped(ENDLESS, "x" * 200))
        while not (await anext(chunks)).text:
            pass
        os.kill(worker, number)
        with pytest.raises(EngineFault, match=number.name):
            _ = [chunk async for chunk in chunks]
        # Asked at once: it waits for the model instead of failing.
        assert (await client.chat(shaped(PLAN))).text
        assert service.pid == front
        assert zygote_and_worker(service)[1] != worker
        assert (await client.health()).ready


async def test_a_worker_dies_again_and_again_and_the_front_stays(engine: Launcher) -> None:
    async with engine.running() as service, service.client() as client:
        front = service.pid
        assert (await client.chat(shaped(PLAN))).text
        before = open_files(front)
        for _ in range(3):
            await another_worker(service, zygote_and_worker(service)[1])
            assert (await client.chat(shaped(PLAN))).text
        assert service.pid == front

        async def tidied() -> bool:
            return len(children(front)) == 2

        await eventually(tidied)
        assert open_files(front) <= before


async def test_nothing_is_left_when_the_service_is_killed(engine: Launcher) -> None:
    async with engine.running() as service, service.client() as client:
        chunks = client.stream(shaped(ENDLESS, "x" * 200))
        while not (await anext(chunks)).text:
            pass
        pids = zygote_and_worker(service)
        os.kill(service.pid, signal.SIGKILL)
        await gone(*pids)
        with contextlib.suppress(EngineUnavailable, EngineFault):
            await chunks.aclose()


async def test_signals_to_all_processes_still_let_an_answer_end(engine: Launcher) -> None:
    async with engine.running() as service, service.client() as client:
        async with contextlib.aclosing(client.stream(shaped(PLAN))) as chunks:
            await anext(chunks)
            for pid in (*children(service.pid), service.pid):
                os.kill(pid, signal.SIGTERM)
            rest = [chunk async for chunk in chunks]
        assert rest[-1].finish_reason is not None
        assert await service.exit_code() == 0


async def test_without_the_zygote_the_service_says_that_it_cannot_go_on(engine: Launcher) -> None:
    async with engine.running() as service, service.client() as client:
        zygote, worker = zygote_and_worker(service)
        os.kill(zygote, signal.SIGKILL)
        assert (await client.chat(shaped(PLAN))).text, "what is loaded goes on"
        os.kill(worker, signal.SIGKILL)
        health = await service.until(HealthStatus.FAILED)
        assert "no process can be started" in (health.error or "")
