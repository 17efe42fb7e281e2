"""How long somebody waits: beside other work, and after the same beginning as before."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from tests.bench.comparison import Aim, Bound, Row, percentile
from tests.bench.engine.bench import Bench
from tests.bench.engine.client import Answer, Stream, ask, question, read_answer
from tests.bench.engine.metrics import metric
from tests.bench.engine.servers import Server

_PROMPT: Final = 64
_URGENT: Final = 128
_TAIL: Final = 16
"""Tokens by which two prompts with the same beginning differ."""
_WARM: Final = 24
"""Tokens of a stream after which it is measured."""
_BATCH: Final = {"service_tier": "flex"}


def gap(bench: Bench) -> Iterator[Row]:
    """How long a reader waits for the next word while a long prompt is read for somebody else."""
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    for _ in bench.rounds(f"gaps beside a prompt of {bench.plan.batch} tokens"):
        ours.append(asyncio.run(_gap(bench, bench.engine, **_BATCH)))
        theirs.append(asyncio.run(_gap(bench, bench.llama_server())))
    what = f"beside a batch prompt of {bench.plan.batch} tokens"
    for at, measure, aim in (
        (0, f"p99 gap between tokens {what}", Aim(Bound.MOST, 0.2)),
        (1, "  what that batch waits for its first token", None),
    ):
        yield Row(
            bench.label(measure),
            "ms",
            [1000 * found[at] for found in ours],
            [1000 * found[at] for found in theirs],
            "llama-server",
            aim,
        )


async def _gap(bench: Bench, server: Server, **batch: Any) -> tuple[float, float]:
    """The gap that 99 of 100 do not exceed, and what the batch waits; in seconds."""
    room = bench.plan.context - bench.plan.batch - 4 * _PROMPT
    async with _running(server, question(bench.prompt(_PROMPT), room)) as stream:
        await stream.until(_WARM)
        begin = time.perf_counter()
        answer = await ask(server.address, bench.prompt(bench.plan.batch), 1, **batch)
    reader = read_answer(stream.sent, stream.pieces)
    return percentile(reader.gaps(begin, answer.times[0]), 0.99), answer.first


def urgent(bench: Bench) -> Iterator[Row]:
    """How long somebody waits for the first word when all slots work for nobody."""
    ours: list[float] = []
    allowed: list[float] = []
    for _ in bench.rounds("first token when all slots are busy"):
        first, limit = asyncio.run(_urgent(bench, bench.engine))
        ours.append(1000 * first)
        allowed.append(1000 * limit)
    yield Row(
        bench.label("first token while batches have all slots"),
        "ms",
        ours,
        allowed,
        "2 decode steps + its own prefill",
        Aim(Bound.MOST, 1.0),
    )


async def _urgent(bench: Bench, server: Server) -> tuple[float, float]:
    """Seconds to the first token, and those that it may take."""
    alone = await ask(server.address, bench.prompt(_URGENT), 1)
    async with contextlib.AsyncExitStack() as stack:
        streams: list[Stream] = []
        # One after the other, until one does not get a slot any more.
        while not await metric(server.address, "llmos_engine_waiting"):
            body = question(bench.prompt(_PROMPT), 1024, **_BATCH)
            streams.append(await stack.enter_async_context(_running(server, body)))
            await asyncio.sleep(0.2)
        await streams[0].until(_WARM + streams[0].events)
        asked = time.perf_counter()
        first = await ask(server.address, bench.prompt(_URGENT), 4)
    steady = read_answer(streams[0].sent, streams[0].pieces).gaps(end=asked)
    return first.first, alone.first + 2 * statistics.median(steady[-_WARM:])


def prefix(bench: Bench) -> Iterator[Row]:
    """How much sooner the first word comes when the prompt begins like one before."""
    for name, server, aim in (
        ("engine", bench.engine, Aim(Bound.MOST, 1 / 15)),
        ("llama-server", bench.llama_server(), None),
    ):
        cached: list[float] = []
        cold: list[float] = []
        for _ in bench.rounds(f"a cached prefix in {name}"):
            before, after = asyncio.run(_prefix(bench, server))
            cold.append(1000 * before.first)
            cached.append(1000 * after.first)
        measure = f"first token after a cached prefix of {bench.plan.prefix} tokens"
        if aim is None:
            measure = "  the same in llama-server"
        yield Row(bench.label(measure), "ms", cached, cold, "the same, cold", aim)


async def _prefix(bench: Bench, server: Server) -> tuple[Answer, Answer]:
    beginning = bench.prompt(bench.plan.prefix - _TAIL)
    return (
        await ask(server.address, beginning + bench.prompt(_TAIL + 19)[:_TAIL], 2),
        await ask(server.address, beginning + bench.prompt(_TAIL + 19)[:_TAIL], 2),
    )


@contextlib.asynccontextmanager
async def _running(server: Server, body: dict[str, Any]) -> AsyncIterator[Stream]:
    """A stream that is given up at the end of the block."""
    stream = Stream(server.address, body)
    task = asyncio.create_task(stream.receive())
    try:
        yield stream
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
