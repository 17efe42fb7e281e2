"""Calls of tools by real models: held to their form by a grammar, whatever the model would say."""

import json
from pathlib import Path

import pytest

from llmos_api import ChatMessage, ChatRequest, FinishReason, HealthStatus
from llmos_api.tools import (
    FunctionChoice,
    FunctionDefinition,
    NamedTool,
    Tool,
    ToolCall,
    ToolMode,
)
from tests.integration.engine_process import Launcher, ask, llama_launcher
from tests.unit.engine.test_schema_grammar import fits
from tests.unit.models.gguf_file import chain_model

pytestmark = pytest.mark.integration

MARKER = "<tool_call>"
PLACE = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "days": {"type": "integer"},
        "unit": {"enum": ["C", "F"]},
    },
    "required": ["city", "days", "unit"],
    "additionalProperties": False,
}
TOOLS = (
    Tool(FunctionDefinition("weather", "The weather", PLACE), "function"),
    Tool(FunctionDefinition("now", "The time"), "function"),
)


@pytest.fixture
def llama(real_engine_command: list[str], engine_folder: Path) -> Launcher:
    return llama_launcher(real_engine_command, engine_folder, context=2048)


def check(calls: tuple[ToolCall, ...]) -> None:
    assert calls
    for call in calls:
        arguments = json.loads(call.function.arguments)
        assert fits(PLACE, arguments) if call.function.name == "weather" else arguments == {}


async def test_a_call_that_is_required_fits_whatever_the_weights_are(llama: Launcher) -> None:
    async with llama.running() as service, service.client() as client:
        for seed in range(5):
            for wanted in (
                ToolMode.REQUIRED,
                NamedTool(FunctionChoice("weather"), "function"),
            ):
                request = ask(tools=TOOLS, tool_choice=wanted, seed=seed, temperature=1.5)
                [choice] = (await client.chat(request)).choices
                assert choice.finish_reason is FinishReason.TOOL_CALLS
                check(choice.message.calls)
                if isinstance(wanted, NamedTool):
                    assert choice.message.calls[0].function.name == "weather"


async def test_from_its_marker_on_a_call_is_held_to_its_form(llama: Launcher) -> None:
    async with llama.running(model=False) as service, service.client() as client:
        # Its prompt ends with "assistant": it calls at once, and then would say only marks.
        following = {"t": MARKER, MARKER: "{", ">": "<|im_end|>"}
        chain_model(following, '"', added=[MARKER]).write(service.models / "default.gguf")
        await service.until(HealthStatus.OK)

        free = await client.chat(
            ask(tools=TOOLS, tool_choice=ToolMode.NONE, max_tokens=20, temperature=0)
        )
        assert free.text.startswith(MARKER + '{""')

        request = ask(tools=TOOLS, max_tokens=200, temperature=0)
        [choice] = (await client.chat(request)).choices
        assert choice.finish_reason is FinishReason.TOOL_CALLS
        check(choice.message.calls)
        assert not choice.message.text

        # It goes on with the result of the call: the template is told of both.
        answered = ChatRequest(
            (
                *request.messages,
                choice.message,
                *(ChatMessage.tool(call.id, "sunny") for call in choice.message.calls),
            ),
            tools=TOOLS,
            max_tokens=200,
            temperature=0,
        )
        assert (await client.chat(answered)).usage.prompt_tokens > 0
