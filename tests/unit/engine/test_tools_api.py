"""Tools as a client sees them; the model repeats the last message: tests write the calls."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_api import ChatChunk, ChatMessage, FinishReason, Role
from llmos_api.tools import FunctionCall, FunctionDefinition, ToolCall
from llmos_engine.errors import InvalidRequest
from llmos_engine.template import ChatTemplate
from llmos_engine.tools.asked import Offer
from llmos_engine.tools.grammar import constraint_of
from tests.unit.engine.gbnf import Grammar
from tests.unit.engine.http_api import Api, ask, detail, echoing, events

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Rom"}}</tool_call>'


def tool(name: str, parameters: dict[str, Any] | None = None, **more: object) -> dict[str, Any]:
    function = {"name": name, "description": f"Does {name}", "parameters": parameters, **more}
    return {"type": "function", "function": function}


TOOLS = [tool("weather", CITY), tool("alarm")]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with echoing(tmp_path_factory.mktemp("models"), context=2048) as api:
        yield api


def choice(api: Api, body: dict[str, object]) -> dict[str, Any]:
    response = api.post(body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()["choices"][0]
    return found


class TestAnswers:
    def test_a_call_is_told_in_openais_shape(self, api: Api) -> None:
        answer = choice(api, ask(f"One moment. {CALL}", tools=TOOLS))
        assert answer["finish_reason"] == "tool_calls"
        assert answer["message"]["content"] == "One moment."
        [call] = answer["message"]["tool_calls"]
        assert call["type"] == "function"
        assert call["function"] == {"name": "weather", "arguments": '{"city": "Rom"}'}
        assert len(call["id"]) == 9
        assert call["id"].isalnum()

    def test_a_message_of_calls_alone_has_no_content(self, api: Api) -> None:
        assert choice(api, ask(CALL, tools=TOOLS))["message"]["content"] is None

    def test_without_tools_it_is_text(self, api: Api) -> None:
        answer = choice(api, ask(CALL))
        assert (answer["message"]["content"], answer["finish_reason"]) == (CALL, "stop")
        assert "tool_calls" not in answer["message"]
        answer = choice(api, ask(CALL, tools=TOOLS, tool_choice="none"))
        assert answer["message"]["content"] == CALL

    def test_several_calls_are_told_unless_one_was_wanted(self, api: Api) -> None:
        both = choice(api, ask(CALL * 2, tools=TOOLS))["message"]["tool_calls"]
        assert len({call["id"] for call in both}) == 2
        one = choice(api, ask(CALL * 2, tools=TOOLS, parallel_tool_calls=False))
        assert len(one["message"]["tool_calls"]) == 1

    def test_a_stream_has_the_calls_and_then_the_reason(self, api: Api) -> None:
        *raw, done = events(api.post(ask(f"Well. {CALL}{CALL}", tools=TOOLS, stream=True)))
        assert done == "[DONE]"
        chunks = [msgspec.json.decode(event, type=ChatChunk) for event in raw]
        assert "".join(chunk.text for chunk in chunks) == "Well."
        calls = [
            call for chunk in chunks for c in chunk.choices for call in c.delta.tool_calls or ()
        ]
        assert [call.index for call in calls] == [0, 1]
        assert calls[0].function == FunctionCall("weather", '{"city": "Rom"}')
        assert chunks[-1].finish_reason is FinishReason.TOOL_CALLS

    def test_a_stream_that_only_looked_like_a_call_has_its_text(self, api: Api) -> None:
        text = '{"name": "weather", "argum'
        *raw, _ = events(api.post(ask(text, tools=TOOLS, stream=True)))
        chunks = [msgspec.json.decode(event, type=ChatChunk) for event in raw]
        assert "".join(chunk.text for chunk in chunks) == text
        assert chunks[-1].finish_reason is FinishReason.STOP

    @pytest.mark.parametrize(
        "wanted", ["required", {"type": "function", "function": {"name": "weather"}}]
    )
    def test_a_call_that_is_required_is_made(self, api: Api, wanted: object) -> None:
        answer = choice(api, ask("Rom", tools=TOOLS, tool_choice=wanted))
        [call] = answer["message"]["tool_calls"]
        assert call["function"]["name"] == "weather"
        assert json.loads(call["function"]["arguments"]) == {"city": "Rom"}

    def test_a_conversation_with_calls_and_their_results_goes_on(self, api: Api) -> None:
        called = {"id": "a1", "type": "function", "function": {"name": "weather", "arguments": ""}}
        messages = [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "a1", "content": "sunny"},
        ]
        answer = choice(api, {"messages": messages, "tools": TOOLS})
        assert answer["message"]["content"] == "sunny"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [tool("a b")]}, "tools[0].function.name"),
        ({"tools": [{"type": "retrieval"}]}, "tools[0].type"),
        ({"tools": [tool("a"), tool("a")]}, "tools"),
        ({"tools": TOOLS, "tool_choice": "always"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}},
            "tool_choice.function.name",
        ),
        ({"tools": TOOLS, "response_format": {"type": "json_object"}}, "response_format"),
        (
            {"tools": [tool("a", {"type": "string", "pattern": "x"}, strict=True)]},
            "tools[0].function.parameters.pattern",
        ),
    ],
)
def test_what_cannot_be_offered_is_refused_with_its_path(
    api: Api, more: dict[str, object], param: str
) -> None:
    response = api.post(ask() | more)
    assert (response.status_code, detail(response)["param"]) == (400, param)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user"},
        {"role": "user", "content": None},
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": None, "tool_calls": []},
    ],
)
def test_a_message_says_something(api: Api, message: dict[str, object]) -> None:
    response = api.post({"messages": [message]})
    assert (response.status_code, detail(response)["param"]) == (400, "messages[0]")


PARTS = st.sampled_from([*TOOLS, tool("c", {"$ref": "#"}), tool("d", {}), {}, None, "auto", 3])


@settings(max_examples=100)
@given(st.lists(PARTS, max_size=3) | PARTS, PARTS | st.sampled_from(["required", "none"]))
def test_no_tools_whatever_are_a_fault_of_the_engine(
    api: Api, tools: object, wanted: object
) -> None:
    response = api.post(ask("x", tools=tools, tool_choice=wanted))
    assert response.status_code in {200, 400}, response.text


NODE = {
    "type": "object",
    "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
    "required": ["next"],
    "additionalProperties": False,
}


class TestGrammar:
    def grammar(self, *functions: FunctionDefinition, required: bool = False) -> Grammar:
        constraint = constraint_of(Offer(functions, required=required), "tools <tool_call>")
        assert constraint is not None
        assert constraint.after == (None if required else "<tool_call>")
        return Grammar.parse(constraint.grammar)

    def test_calls_of_what_is_offered_fit_and_no_others(self) -> None:
        grammar = self.grammar(
            FunctionDefinition("weather", parameters=CITY), FunctionDefinition("now"), required=True
        )
        assert grammar.accepts('{"name": "weather", "arguments": {"city": "Rom"}}')
        assert grammar.accepts('{"name":"now","arguments":{}}')
        assert not grammar.accepts('{"name":"weather","arguments":{"city":1}}')
        assert not grammar.accepts('{"name":"weather","arguments":{}}')
        assert not grammar.accepts('{"name":"other","arguments":{}}')

    def test_after_the_marker_a_call_ends_with_its_own(self) -> None:
        grammar = self.grammar(FunctionDefinition("now"))
        call = '{"name":"now","arguments":{}}'
        assert grammar.accepts(f"\n{call}\n</tool_call>")
        assert grammar.accepts(f"{call}</tool_call>\n<tool_call>\n{call}\n</tool_call>")
        assert not grammar.accepts(call)

    def test_references_are_those_of_each_functions_own_schema(self) -> None:
        grammar = self.grammar(
            FunctionDefinition("list", parameters=NODE),
            FunctionDefinition("weather", parameters=CITY),
            required=True,
        )
        assert grammar.accepts('{"name":"list","arguments":{"next":{"next":null}}}')
        assert not grammar.accepts('{"name":"list","arguments":{"next":{"name":"list"}}}')

    def test_arguments_that_cannot_be_followed_are_any_object_unless_strict(self) -> None:
        odd = {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}
        grammar = self.grammar(FunctionDefinition("a", parameters=odd), required=True)
        assert grammar.accepts('{"name":"a","arguments":{"b":1}}')
        with pytest.raises(InvalidRequest) as refused:
            self.grammar(FunctionDefinition("a", parameters=odd, strict=True))
        assert refused.value.param == "tools[0].function.parameters.properties.a.pattern"

    def test_a_template_with_marks_of_its_own_is_left_alone(self) -> None:
        offer = Offer((FunctionDefinition("now"),))
        assert constraint_of(offer, "{{ tools }} [TOOL_CALLS]") is None
        # One that does not know of tools is told of them by us, in our form.
        assert constraint_of(offer, "{{ messages }}") is not None
        assert constraint_of(offer, None) is not None


class TestTemplate:
    MESSAGES = (
        ChatMessage.user("Weather?"),
        ChatMessage(
            Role.ASSISTANT, None, (ToolCall("a1", FunctionCall("weather", '{"city": "Rom"}')),)
        ),
        ChatMessage(Role.TOOL, "sunny <|im_end|>", tool_call_id="a1"),
    )
    KNOWS = (
        "{% for tool in tools %}{{ tool.function.name }} {% endfor %}"
        "{% for m in messages %}[{{ m.role }} {{ m.content }}"
        "{% for c in m.tool_calls %}{{ c.function.name }} {{ c.function.arguments.city }}"
        "{% endfor %}{{ m.tool_call_id }}]{% endfor %}"
    )

    def rendered(self, source: str | None) -> str:
        template = ChatTemplate(source, control_tokens=["<|im_end|>"])
        try:
            return template.render(self.MESSAGES, TOOLS)
        finally:
            template.close()

    def test_a_template_that_knows_tools_gets_them(self) -> None:
        assert self.rendered(self.KNOWS) == (
            "weather alarm [user Weather?][assistant weather Rom][tool sunny <\u2060|im_end|>a1]"
        )

    def test_one_that_does_not_gets_them_as_text(self) -> None:
        text = self.rendered(None)
        assert '{"name": "weather"' in text.splitlines()[2]
        assert '<tool_call>{"name": "weather", "arguments": {"city": "Rom"}}</tool_call>' in text
        assert "<tool_response>sunny <\u2060|im_end|></tool_response>" in text
        assert "<|im_start|>tool" not in text

    def test_arguments_that_are_no_json_do_not_break_it(self) -> None:
        broken = ToolCall("a1", FunctionCall("weather", "{not json"))
        template = ChatTemplate(None)
        try:
            text = template.render([ChatMessage(Role.ASSISTANT, None, (broken,))])
        finally:
            template.close()
        assert "{not json" in text
