"""OpenAI's responses as a client sees them; the model repeats the last message."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_api.responses import ItemStatus, OutputCall, Response, ResponseEvent
from llmos_api.types import ChatMessage
from llmos_engine.errors import NotFound
from llmos_engine.responses.memory import Memory
from tests.unit.engine.http_api import Api, detail, echoing

PATH = "/v1/responses"
WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Rom"}}</tool_call>'


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with echoing(tmp_path_factory.mktemp("models"), context=2048) as api:
        yield api


def respond(api: Api, said: object, **more: object) -> Response:
    answer = api.post({"input": said, **more}, PATH)
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=Response)


def streamed(api: Api, said: object, **more: object) -> list[ResponseEvent]:
    answer = api.post({"input": said, "stream": True, **more}, PATH)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in answer.text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append(msgspec.json.decode(data.removeprefix("data: "), type=ResponseEvent))
        assert name == f"event: {found[-1].type}"
    return found


def test_a_text_is_answered_with_a_message(api: Api) -> None:
    response = respond(api, "hello", metadata={"a": "b"})
    assert response.id.startswith("resp_")
    assert response.output_text == "hello"
    assert response.status is ItemStatus.COMPLETED
    assert response.usage is not None
    assert response.usage.total_tokens == 10
    assert response.metadata == {"a": "b"}
    raw = api.post({"input": "hello"}, PATH).json()
    assert raw["object"] == "response"
    assert raw["output"][0]["type"] == "message"
    assert raw["output"][0]["content"][0]["type"] == "output_text"


def test_a_text_at_its_limit_is_incomplete(api: Api) -> None:
    response = respond(api, "hello", max_output_tokens=2)
    assert (response.output_text, response.status) == ("he", ItemStatus.INCOMPLETE)
    assert response.incomplete_details is not None
    assert response.output[0].status is ItemStatus.INCOMPLETE


def test_a_conversation_goes_on_from_a_response(api: Api) -> None:
    first = respond(api, "one", instructions="Be brief")
    second = respond(api, "two", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert second.usage is not None
    # The bytes of "one", its answer, "two" and what stands between them; no instructions.
    assert second.usage.input_tokens == len("one\none\ntwo")
    third = respond(api, "x", previous_response_id=second.id)
    assert third.usage is not None
    assert third.usage.input_tokens == len("one\none\ntwo\ntwo\nx")


def test_a_response_can_be_had_again_until_it_is_deleted(api: Api) -> None:
    response = respond(api, "hello")
    again = api.get(f"{PATH}/{response.id}")
    assert msgspec.json.decode(again.content, type=Response) == response
    assert api.delete(f"{PATH}/{response.id}").json()["deleted"] is True
    for gone in (
        api.get(f"{PATH}/{response.id}"),
        api.delete(f"{PATH}/{response.id}"),
        api.post({"input": "a", "previous_response_id": response.id}, PATH),
    ):
        assert (gone.status_code, detail(gone)["code"]) == (404, "not_found")


def test_what_is_not_stored_is_not_remembered(api: Api) -> None:
    response = respond(api, "hello", store=False)
    assert api.get(f"{PATH}/{response.id}").status_code == 404


def test_calls_are_items_and_their_results_go_on(api: Api) -> None:
    response = respond(api, f"Well. {CALL}", tools=[WEATHER])
    message, call = response.output
    assert message.status is ItemStatus.COMPLETED
    assert isinstance(call, OutputCall)
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Rom"})
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "summary": []},
        *msgspec.to_builtins(response.output),
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
    ]
    assert respond(api, items, tools=[WEATHER]).output_text == "sunny"
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    assert respond(api, [result], previous_response_id=response.id).output_text == "rain"


@pytest.mark.parametrize("wanted", ["required", {"type": "function", "name": "weather"}])
def test_a_call_that_is_required_is_made(api: Api, wanted: object) -> None:
    response = respond(api, "Rom", tools=[WEATHER], tool_choice=wanted)
    [call] = response.output
    assert isinstance(call, OutputCall)
    assert json.loads(call.arguments) == {"city": "Rom"}


def test_a_schema_is_followed(api: Api) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    text = {"format": {"type": "json_schema", "name": "x", "schema": schema}}
    response = respond(api, "hi", text=text)
    assert json.loads(response.output_text) == {"a": "hi"}


def test_a_stream_tells_every_item_from_its_beginning_to_its_end(api: Api) -> None:
    found = streamed(api, f"Well. {CALL}", tools=[WEATHER])
    assert [event.sequence_number for event in found] == list(range(len(found)))
    kinds = [event.type.removeprefix("response.") for event in found]
    deltas = [kind for kind in kinds if kind == "output_text.delta"]
    assert deltas
    assert [kind for kind in kinds if kind != "output_text.delta"] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    said = "".join(
        event.delta
        for event in found
        if event.type == "response.output_text.delta" and isinstance(event.delta, str)
    )
    last = found[-1].response
    assert isinstance(last, Response)
    assert said == last.output_text == "Well."
    assert last.usage is not None
    again = api.get(f"{PATH}/{last.id}")
    assert msgspec.json.decode(again.content, type=Response) == last


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, None),
        ({"input": 5}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"type": "reasoning"}]}, "input"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": ["hello"]}, "input[0]"),
        ({"input": [{"type": "image"}]}, "input[0].type"),
        ({"input": "a", "tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"input": "a", "tool_choice": "required"}, "tool_choice"),
        ({"input": "a", "max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(
    api: Api, body: dict[str, Any], param: str | None
) -> None:
    answer = api.post(body, PATH)
    assert answer.status_code == 400
    if param:
        assert detail(answer)["param"] == param


ITEMS: st.SearchStrategy[object] = st.sampled_from(
    [
        {"role": "user", "content": "a"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{"},
        {"type": "function_call_output", "call_id": "a", "output": "x"},
        {"type": "reasoning"},
        {"type": "message", "role": "assistant", "content": []},
        {"type": 5},
        [],
        None,
    ]
)


@settings(max_examples=100)
@given(st.lists(ITEMS, max_size=4), st.booleans())
def test_no_items_whatever_are_a_fault_of_the_engine(api: Api, items: object, stream: bool) -> None:
    assert api.post({"input": items, "stream": stream}, PATH).status_code in {200, 400}


def test_the_longest_unused_conversations_are_forgotten_first(api: Api) -> None:
    response = respond(api, "hello")
    memory = Memory(room=6000)
    names = [f"resp_{number}" for number in range(20)]
    for name in names:
        memory.keep(msgspec.structs.replace(response, id=name), (ChatMessage.user("x" * 100),))
        memory.find(names[0])
    for kept in (names[0], names[-1]):
        assert memory.find(kept).response.id == kept
    with pytest.raises(NotFound):
        memory.find(names[1])
