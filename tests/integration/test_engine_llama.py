"""What only a real model shows: seeds, control tokens, grammars, files that do not load."""

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos_api import (
    BadRequest,
    ChatCompletion,
    ChatRequest,
    EngineClient,
    FinishReason,
    HealthStatus,
    ServiceTier,
)
from tests.integration.engine_process import (
    PLAN,
    Launcher,
    Service,
    ask,
    llama_launcher,
    shaped,
)
from tests.unit.engine.test_schema_grammar import SCHEMAS, fits
from tests.unit.models.gguf_file import tiny_model

pytestmark = pytest.mark.integration

TIE = 0.05
"""Two tokens that are nearly as probable, as logarithms."""


async def _metric(service: Service, name: str, *, at_least: float) -> bool:
    transport = httpx.AsyncHTTPTransport(uds=str(service.socket))
    async with httpx.AsyncClient(transport=transport) as http:
        page = (await http.get("http://engine/metrics")).text
    [value] = re.findall(rf"^llmos_engine_{name}(?:{{.*}})? (\S+)$", page, re.MULTILINE)
    return float(value) >= at_least


async def _tokens(service: Service, text: str) -> list[int]:
    transport = httpx.AsyncHTTPTransport(uds=str(service.socket))
    async with httpx.AsyncClient(transport=transport) as http:
        answer = await http.post("http://engine/tokenize", json={"content": text})
    found: list[int] = answer.json()["tokens"]
    return found


def assert_same_but_for_ties(one: ChatCompletion, other: ChatCompletion) -> None:
    """Batches of other sizes add floats up in another order: what is nearly as probable may win."""
    first, second = one.choices[0].logprobs, other.choices[0].logprobs
    assert first is not None
    assert second is not None
    assert len(first.content) == len(second.content)
    pairs = zip(first.content, second.content, strict=True)
    differ = next((ours for ours, theirs in pairs if ours.bytes != theirs.bytes), None)
    if differ is not None:
        best, next_best = differ.top_logprobs
        assert best.logprob - next_best.logprob < TIE, (one.text, other.text)


@pytest.fixture
def llama(real_engine_command: list[str], engine_folder: Path) -> Launcher:
    return llama_launcher(real_engine_command, engine_folder)


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


async def test_an_answer_is_the_same_beside_others_and_after_it_was_put_aside(
    llama: Launcher,
) -> None:
    async with llama.running("--slots", "2") as service, service.client() as client:
        ends = await _tokens(service, "<|im_end|><|endoftext|>")
        long = [
            ask(
                f"{number} is a number",
                max_tokens=500,
                temperature=0,
                logprobs=True,
                top_logprobs=2,
                logit_bias=dict.fromkeys(ends, -100.0),
                service_tier=ServiceTier.FLEX,
            )
            for number in range(4)
        ]
        alone = [await client.chat(request) for request in long]
        beside = [asyncio.create_task(client.chat(request)) for request in long]
        probe = client.stream(msgspec.structs.replace(long[0], max_tokens=5000))
        while not (await anext(probe)).text:
            pass
        # Both places are taken: each of these takes one of them, for a while.
        urgent = (ask(f"now {number}", max_tokens=5, temperature=0) for number in range(4))
        await asyncio.gather(*map(client.chat, urgent))
        assert await _metric(service, "parked_total", at_least=2)
        await probe.aclose()
        for one, task in zip(alone, beside, strict=True):
            assert_same_but_for_ties(one, await task)


async def test_biases_and_penalties_change_what_is_said(llama: Launcher) -> None:
    async with llama.running() as service, service.client() as client:

        async def said(**more: Any) -> str:
            return (await client.chat(ask("Hello", max_tokens=40, temperature=0, **more))).text

        usual = await said()
        # In this vocabulary a byte's token has the byte's number.
        assert await said(logit_bias={ord("a"): 100.0}) == "a" * 40
        two = {ord("a"): 100.0, ord("b"): 95.0}
        assert "b" in await said(logit_bias=two, frequency_penalty=2.0)
        request = ask("Hello", max_tokens=40, temperature=2.0, min_p=1.0, seed=3)
        assert (await client.chat(request)).text == usual
        with pytest.raises(BadRequest, match="there is no token 2000000000"):
            await said(logit_bias={2_000_000_000: 1.0})


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
        running = llama_launcher(real_engine_command, engine_folder, context=4096).running()
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


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
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
