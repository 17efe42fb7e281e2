"""How probable tokens are, with a real model: told while making and while reading alike."""

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmos_engine.backends.llama import BATCH
from tests.integration.engine_process import llama_launcher

pytestmark = pytest.mark.integration

# The order in which floats are added up differs between reading and making.
CLOSE = 0.02


class Raw:
    """Posts JSON to a running engine."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def post(self, path: str, **body: object) -> dict[str, Any]:
        response = await self._http.post(path, json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def refused(self, path: str, **body: object) -> str:
        response = await self._http.post(path, json=body)
        assert response.status_code == 400
        code: str = response.json()["error"]["code"]
        return code


@pytest.fixture
async def engine(real_engine_command: list[str], engine_folder: Path) -> AsyncIterator[Raw]:
    async with llama_launcher(real_engine_command, engine_folder, context=2048).running() as one:
        transport = httpx.AsyncHTTPTransport(uds=str(one.socket))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://engine", timeout=60
        ) as http:
            yield Raw(http)


async def test_reading_an_answer_finds_it_as_probable_as_making_it(engine: Raw) -> None:
    text = "The quick brown fox"
    made = (
        await engine.post("/v1/completions", prompt=text, max_tokens=30, temperature=0, logprobs=2)
    )["choices"][0]["logprobs"]
    for one, others in zip(made["token_logprobs"], made["top_logprobs"], strict=True):
        assert one == max(others.values())
        assert sum(math.exp(other) for other in others.values()) <= 1.001
    whole = prompt = (await engine.post("/tokenize", content=text))["tokens"]
    for token in made["tokens"]:
        cut = (await engine.post("/tokenize", content=token))["tokens"]
        if len(cut) > 1:  # a part of a character, which JSON cannot tell
            break
        whole = [*whole, *cut]
    assert len(whole) > len(prompt) + 2
    read = (
        await engine.post("/v1/completions", prompt=whole, max_tokens=0, echo=True, logprobs=0)
    )["choices"][0]["logprobs"]
    assert read["token_logprobs"][0] is None
    there = read["token_logprobs"][len(prompt) :]
    assert there == pytest.approx(made["token_logprobs"][: len(there)], abs=CLOSE)


async def test_a_long_text_is_judged_across_the_borders_of_batches(engine: Raw) -> None:
    text = "".join(f"{number} bottles of beer on the wall, " for number in range(60))
    tokens = (await engine.post("/tokenize", content=text))["tokens"][: 3 * BATCH]

    async def judged(count: int) -> list[float | None]:
        answer = await engine.post(
            "/v1/completions", prompt=tokens[:count], max_tokens=0, echo=True, logprobs=1
        )
        found: list[float | None] = answer["choices"][0]["logprobs"]["token_logprobs"]
        return found

    whole = await judged(len(tokens))
    assert len(whole) == len(tokens)
    for count in (BATCH - 1, BATCH, BATCH + 1):
        assert (await judged(count))[1:] == pytest.approx(whole[1:count], abs=CLOSE)


async def test_tokens_and_text_are_two_ways_to_say_the_same(engine: Raw) -> None:
    text = "Grüße, 世界! <|im_end|>"
    cut = await engine.post("/tokenize", content=text)
    assert (await engine.post("/detokenize", **cut))["content"] == text
    # Read as text it is more than the one control token.
    plain = await engine.post("/tokenize", content=text, parse_special=False)
    assert len(plain["tokens"]) > len(cut["tokens"])
    both = [
        (await engine.post("/v1/completions", prompt=prompt, max_tokens=10, temperature=0))[
            "choices"
        ][0]["text"]
        for prompt in (text, plain["tokens"])
    ]
    assert both[0] == both[1]


async def test_a_model_that_cannot_fill_in_says_so(engine: Raw) -> None:
    code = await engine.refused("/v1/completions", prompt="a", suffix="b")
    assert code == "unsupported_suffix"
    assert await engine.refused("/detokenize", tokens=[10_000_000]) == "invalid_value"
