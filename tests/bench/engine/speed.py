"""Tokens per second: one stream against ``llama-bench``, crowds against the servers."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from llmos_image.errors import BuildFailed
from tests.bench.comparison import Aim, Bound, Row
from tests.bench.engine.bench import Bench
from tests.bench.engine.client import Answer, ask
from tests.bench.engine.llama_bench import tokens_per_second
from tests.bench.engine.servers import Server

PROMPT: Final = 64
CROWDS: Final = (8, 16)
_AS_FAST: Final = Aim(Bound.LEAST, 0.97)
_PYTHON_SHARE: Final = 4
"""The Python server answers one after the other: so much shorter answers tell its speed."""
_SAMPLING: Final[dict[str, Any]] = {"temperature": 0.7, "top_k": 40, "top_p": 0.95, "min_p": 0.0}
_SAMPLERS: Final = ["top_k", "top_p", "temperature"]
"""llama-server has more of them, which cost time: it gets only those that the engine has."""


def decode(bench: Bench) -> Iterator[Row]:
    """Tokens per second of one answer."""
    tokens = bench.plan.decode
    ours: list[float] = []
    theirs: list[float] = []
    for _ in bench.rounds("decode"):
        answer = asyncio.run(ask(bench.engine.address, bench.prompt(PROMPT), tokens))
        ours.append(answer.rate)
        printed = bench.launcher.bench(bench.file, *("-p", 0, "-n", tokens, "-d", PROMPT, "-r", 1))
        theirs.append(tokens_per_second(printed))
    yield Row(bench.label("decode, one stream"), "tokens/s", ours, theirs, "llama-bench", _AS_FAST)


def prefill(bench: Bench) -> Iterator[Row]:
    """Tokens per second of a prompt, until its first token is there."""
    tokens = bench.plan.prefill
    ours: list[float] = []
    theirs: list[float] = []
    for _ in bench.rounds("prefill"):
        answer = asyncio.run(ask(bench.engine.address, bench.prompt(tokens), 1))
        ours.append(tokens / answer.first)
        printed = bench.launcher.bench(bench.file, *("-p", tokens, "-n", 0, "-r", 1))
        theirs.append(tokens_per_second(printed))
    yield Row(bench.label("prefill, one stream"), "tokens/s", ours, theirs, "llama-bench", _AS_FAST)


def streams(bench: Bench) -> Iterator[Row]:
    """Tokens per second of crowds, all together."""
    python, missing = _python_server(bench)
    for crowd in CROWDS:
        ours: list[float] = []
        theirs: list[float] = []
        pythons: list[float] = []
        servers = bench.engine, bench.llama_server(crowd)
        for _ in bench.rounds(f"{crowd} streams"):
            tokens = bench.plan.crowd
            ours.append(_crowd(bench, servers[0], crowd, tokens))
            theirs.append(_crowd(bench, servers[1], crowd, tokens, samplers=_SAMPLERS))
            if python is not None:
                pythons.append(_crowd(bench, python, crowd, max(8, tokens // _PYTHON_SHARE)))
        measure = bench.label(f"decode, {crowd} streams")
        yield Row(measure, "tokens/s", ours, theirs, "llama-server", Aim(Bound.LEAST, 1.0))
        aim = Aim(Bound.LEAST, 3.0)
        yield Row(measure, "tokens/s", ours, pythons, "llama_cpp.server", aim, missing)


def _python_server(bench: Bench) -> tuple[Server | None, str]:
    """The Python server, or why there is none."""
    try:
        return bench.launcher.python_server(bench.file), ""
    except BuildFailed as error:
        return None, str(error).splitlines()[0]


def _crowd(bench: Bench, server: Server, crowd: int, tokens: int, **more: Any) -> float:
    async def all_of_them() -> list[Answer]:
        questions = (
            ask(
                server.address,
                bench.prompt(PROMPT),
                tokens,
                **_SAMPLING,
                seed=bench.seed(),
                **more,
            )
            for _ in range(crowd)
        )
        return await asyncio.gather(*questions)

    return together(asyncio.run(all_of_them()))


def together(answers: list[Answer]) -> float:
    """Tokens per second of all ``answers``, from the first token of any to the last one of any."""
    begin = min(answer.times[0] for answer in answers)
    end = max(answer.times[-1] for answer in answers)
    return (sum(answer.made for answer in answers) - 1) / (end - begin)
