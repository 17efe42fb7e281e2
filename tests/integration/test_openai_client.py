"""OpenAI's own Python client against the engine as it is, without a workaround."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import openai
import pytest
from pydantic import BaseModel

from tests.integration.engine_process import Launcher

pytestmark = pytest.mark.integration

CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Rom"}}</tool_call>'
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


class Plan(BaseModel):
    """What an answer has to look like."""

    say: str
    steps: list[str]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[openai.AsyncOpenAI]:
    argv = [sys.executable, "-m", "llmos_engine.main", "--backend", "echo"]
    async with Launcher(argv, tmp_path, "echo").running() as service:
        transport = httpx2.AsyncHTTPTransport(uds=str(service.socket))
        async with (
            httpx2.AsyncClient(transport=transport) as http,
            openai.AsyncOpenAI(
                base_url="http://engine/v1", api_key="none", http_client=http, max_retries=0
            ) as client,
        ):
            yield client


async def test_models_and_chats(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["default"]
    answer = await client.chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": "hello"}],
        logprobs=True,
        top_logprobs=1,
        n=2,
    )
    assert [choice.message.content for choice in answer.choices] == ["hello", "hello"]
    places = answer.choices[0].logprobs
    assert places is not None
    assert places.content is not None
    assert places.content[0].top_logprobs[0].token == "h"  # noqa: S105 - of a model


async def test_a_streamed_chat(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": "hello"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == "hello"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5


async def test_an_answer_that_is_parsed(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.parse(
        model="default", messages=[{"role": "user", "content": "go"}], response_format=Plan
    )
    assert answer.choices[0].message.parsed == Plan(say="go", steps=[])


async def test_a_function_is_called_and_answered(client: openai.AsyncOpenAI) -> None:
    tool: openai.types.chat.ChatCompletionFunctionToolParam = {
        "type": "function",
        "function": {"name": "weather", "parameters": PARAMETERS, "strict": True},
    }
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [
        {"role": "user", "content": CALL}
    ]
    answer = await client.chat.completions.create(model="default", messages=messages, tools=[tool])
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    [call] = message.tool_calls
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "Rom"}
    messages.append(message.model_dump(exclude_unset=True))  # type: ignore[arg-type]
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
    answer = await client.chat.completions.create(model="default", messages=messages, tools=[tool])
    assert answer.choices[0].message.content == "sunny"


async def test_completions(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(
        model="default", prompt=["ab", "cd"], echo=True, logprobs=0, max_tokens=1
    )
    assert [choice.text for choice in answer.choices] == ["aba", "cdc"]


async def test_responses_streamed_and_gone_on_with(client: openai.AsyncOpenAI) -> None:
    first = await client.responses.create(model="default", input="hello")
    assert first.output_text == "hello"
    async with client.responses.stream(
        model="default", input="world", previous_response_id=first.id
    ) as stream:
        said = "".join(
            [event.delta async for event in stream if event.type == "response.output_text.delta"]
        )
        final = await stream.get_final_response()
    assert said == final.output_text == "world"
    again = await client.responses.retrieve(final.id)
    assert again.output_text == "world"
    await client.responses.delete(final.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(final.id)


async def test_a_response_with_a_function(client: openai.AsyncOpenAI) -> None:
    response = await client.responses.create(
        model="default",
        input=CALL,
        tools=[{"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}],
    )
    [call] = response.output
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"city": "Rom"}


async def test_errors_are_the_clients_own(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as wrong:
        await client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": "a"}], temperature=5
        )
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(
            model="missing", messages=[{"role": "user", "content": "a"}]
        )


async def test_many_at_once(client: openai.AsyncOpenAI) -> None:
    async def said(text: str) -> str | None:
        answer = await client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": text}]
        )
        return answer.choices[0].message.content

    texts = [f"number {number}" for number in range(20)]
    assert await asyncio.gather(*map(said, texts)) == texts
