"""The built-in model as it ships: in the real engine, asked as the shell asks it."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmos_api import HealthStatus
from llmos_shell.literals import encode, words_of
from llmos_shell.plan import chat_request
from model import evaluate, tokenizer
from model.bpe import Bpe
from tests.integration.engine_process import Service, llama_launcher
from tests.integration.gguf_metadata import read_metadata

pytestmark = pytest.mark.integration

MODEL = Path(__file__).parents[2] / "image" / "model"
GGUF = MODEL / "llmos-plan-v0.gguf"
SIZE_LIMIT = 8 * 1024 * 1024
FIRST_SCREEN = "how much free disk space is there"
ALLOWANCE = 0.02
"""Ties between two commands may fall the other way on a processor that rounds differently."""


@dataclass
class Running:
    """The real engine with the shipped model."""

    runner: asyncio.Runner
    service: Service

    def evaluate(self, items: list[evaluate.Item]) -> evaluate.Report:
        async def run() -> evaluate.Report:
            async with evaluate.EngineModel(self.service.socket).connected() as model:
                return await evaluate.evaluate(items, model)

        return self.runner.run(run())

    def prompt_tokens(self, text: str) -> int:
        async def ask() -> int:
            async with self.service.client() as client:
                return (await client.chat(chat_request(text))).usage.prompt_tokens

        return self.runner.run(ask())


@pytest.fixture(scope="module")
def running(real_engine_command: list[str], engine_folder: Path) -> Iterator[Running]:
    with asyncio.Runner() as runner:
        launcher = llama_launcher(real_engine_command, engine_folder, context=512)
        starting = launcher.running(model=False)
        service = runner.run(starting.__aenter__())
        try:
            shutil.copy(GGUF, service.models / "new")
            (service.models / "new").rename(service.models / "default.gguf")
            runner.run(service.until(HealthStatus.OK))
            yield Running(runner, service)
        finally:
            runner.run(starting.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def words() -> frozenset[str]:
    found = words_of(read_metadata(GGUF))
    assert found is not None
    return found


def stated_accuracy() -> float:
    card = (MODEL / "MODEL_CARD.md").read_text()
    found = re.search(r"held-out requests: \*\*(\d+\.\d) %\*\*", card)
    assert found is not None, "the model card states no accuracy"
    return float(found[1]) / 100


def test_the_file_is_small_enough_for_the_repository() -> None:
    assert GGUF.stat().st_size <= SIZE_LIMIT


def test_the_request_on_the_first_screen_is_answered_right(running: Running) -> None:
    report = running.evaluate([evaluate.Item(FIRST_SCREEN, "disk_free", ("df -h",))])
    assert report.accuracy == 1, report.as_text(show_wrong=True)


def test_held_out_requests_are_answered_as_well_as_the_card_says(running: Running) -> None:
    report = running.evaluate(evaluate.read(MODEL / "heldout.jsonl"))
    assert report.accuracy >= stated_accuracy() - ALLOWANCE, report.as_text(show_wrong=False)


def test_llama_cpp_and_the_training_cut_requests_into_the_same_tokens(
    running: Running, words: frozenset[str]
) -> None:
    metadata = read_metadata(GGUF)
    tokens, normal = metadata["tokenizer.ggml.tokens"], 1
    added = metadata["tokenizer.ggml.token_type"].index(normal)
    merges = (tuple(pair.split(" ")) for pair in metadata["tokenizer.ggml.merges"])
    plans = tokenizer.PlanTokenizer(
        tuple(tokens[:added]), Bpe(tuple(tokens[added:]), tuple((a, b) for a, b in merges))
    )
    plain = ["what's  new?\n ünï x_1 'll I'D", "é", "日本 42", "<str1>x<path1> ~", "a\tb  c", "_'s"]
    slotted = [encode(item.request, words).text for item in evaluate.read(MODEL / "dev.jsonl")[::4]]
    for text in (*plain, *slotted):
        assert running.prompt_tokens(text) == len(plans.encode(tokenizer.prompt_text(text))), text


def test_a_request_without_a_known_word_is_answered_all_the_same(running: Running) -> None:
    odd = ["", " ", "?", "zxcv " * 60, "<str1> <path1>", '"}{', "日本語で"]
    report = running.evaluate([evaluate.Item(text, "none", ()) for text in odd])
    assert all("not a plan" not in one.command for one in report.graded)
