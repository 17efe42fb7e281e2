"""What is asked of the engine itself: parking, what its front costs, what it predicts."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.bench.comparison import Aim, Bound, Row
from tests.bench.engine.bench import Bench
from tests.bench.engine.client import Answer, ask
from tests.bench.engine.metrics import metric, seconds_of
from tests.bench.engine.servers import Server

_SCRIPT: Final = Path(__file__).with_name("parking.py")
_CROWD: Final = 16
_PROMPT: Final = 64
_LONG_PROMPT: Final = 2048
_ANSWER: Final = 32


def park(bench: Bench) -> Iterator[Row]:
    """Milliseconds to put a sequence aside and bring it back."""
    tokens = bench.plan.parked
    script = bench.launcher.folder / _SCRIPT.name
    script.write_bytes(_SCRIPT.read_bytes())
    settings = bench.launcher.settings
    bench.say("park and resume")
    printed = bench.launcher.python(
        script,
        *(bench.file.parent, bench.prompt(tokens), settings.threads, settings.context),
        *(bench.plan.rounds, _ANSWER),
    )
    found = json.loads(printed.splitlines()[-1])
    for name, what in (("aside", ""), ("copied", ", its room wanted in between")):
        yield Row(
            bench.label(f"park and resume {found['prompt']} tokens{what}"),
            "ms",
            found[name]["ms"],
            aim=Aim(Bound.MOST, 20.0, absolute=True),
        )
        yield Row(
            bench.label("  the greedy answer goes on as without"),
            "",
            [float(found[name]["same"])],
            aim=Aim(Bound.LEAST, 1.0, absolute=True),
        )


def memory(bench: Bench) -> Iterator[Row]:
    """How far the memory that was predicted is from what is used."""
    address = bench.engine.address
    bench.say("what the model takes")
    # A prompt as long as its batches are, and some answers: all buffers have been used then.
    asyncio.run(ask(address, bench.prompt(_LONG_PROMPT), _ANSWER))
    sizes = {}
    for kind in ("predicted", "measured"):
        name = f'llmos_engine_model_memory_bytes{{kind="{kind}",model="{bench.file.stem}"}}'
        sizes[kind] = asyncio.run(metric(address, name))
    yield Row(
        bench.label("error of the predicted memory"),
        "",
        [abs(sizes["predicted"] - sizes["measured"]) / sizes["measured"]],
        aim=Aim(Bound.MOST, 0.05, absolute=True),
    )


def front(bench: Bench) -> Iterator[Row]:
    """Milliseconds of processor that the HTTP side takes for a token, beside a full model."""
    server = bench.engine
    process = server.pid
    ours: list[float] = []
    for _ in bench.rounds("what the front costs"):
        before = seconds_of(process)
        answers = asyncio.run(_crowd(bench, server, bench.plan.crowd))
        seconds = seconds_of(process) - before
        ours.append(1000 * seconds / sum(answer.made for answer in answers))
    yield Row(
        bench.label(f"processor time of the front for a token, {_CROWD} streams"),
        "ms",
        ours,
        aim=Aim(Bound.MOST, 0.2, absolute=True),
    )


async def _crowd(bench: Bench, server: Server, tokens: int) -> list[Answer]:
    return await asyncio.gather(
        *(ask(server.address, bench.prompt(_PROMPT), tokens) for _ in range(_CROWD))
    )
