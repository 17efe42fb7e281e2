"""What a request may look like, and what a wrong one is told."""

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_api import (
    ChatChunk,
    ChatMessage,
    ChatRequest,
    ChunkChoice,
    Delta,
    FinishReason,
    Health,
    HealthStatus,
    JsonObjectFormat,
    JsonSchema,
    JsonSchemaFormat,
    Model,
    Role,
    StreamOptions,
    TextFormat,
    TextPart,
)

# Lone surrogates are no text: no client can send them and no decoder accepts them.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.builds(
    ChatMessage,
    st.sampled_from(Role),
    TEXT | st.lists(st.builds(TextPart, TEXT, st.just("text")), max_size=3).map(tuple),
)
FORMATS = (
    st.builds(TextFormat)
    | st.builds(JsonObjectFormat)
    | st.builds(
        JsonSchemaFormat,
        st.builds(JsonSchema, TEXT, st.dictionaries(TEXT, JSON, max_size=3)),
    )
)
STOPS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
REQUESTS = st.builds(
    ChatRequest,
    messages=st.lists(MESSAGES, min_size=1, max_size=4).map(tuple),
    model=st.none() | TEXT,
    stream=st.none() | st.booleans(),
    stream_options=st.none() | st.builds(StreamOptions, st.booleans()),
    max_tokens=st.none() | st.integers(1, 2**31 - 1),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1, exclude_min=True),
    top_k=st.none() | st.integers(0, 1_000_000),
    seed=st.none() | st.integers(-(2**63), 2**63 - 1),
    stop=st.none() | STOPS | st.lists(STOPS, max_size=16).map(tuple),
    response_format=st.none() | FORMATS,
)


@given(REQUESTS)
def test_a_request_survives_the_wire(request: ChatRequest) -> None:
    assert msgspec.json.decode(msgspec.json.encode(request), type=ChatRequest) == request


@given(st.builds(Model, TEXT, st.integers(0, 2**40), TEXT, st.dictionaries(TEXT, TEXT)))
def test_a_model_survives_the_wire(model: Model) -> None:
    assert msgspec.json.decode(msgspec.json.encode(model), type=Model) == model


MESSAGE = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("body", "path", "says"),
    [
        ({}, "", "messages"),
        ({"messages": []}, "messages", "length >= 1"),
        ({"messages": [{"role": "boss", "content": "hi"}]}, "messages[0].role", "boss"),
        ({"messages": [MESSAGE, {"role": "user", "content": 3}]}, "messages[1].content", "int"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].type",
            "image_url",
        ),
        ({"messages": [MESSAGE], "temperature": "hot"}, "temperature", "str"),
        ({"messages": [MESSAGE], "temperature": 2.5}, "temperature", "<= 2"),
        ({"messages": [MESSAGE], "top_p": 0}, "top_p", "> 0"),
        ({"messages": [MESSAGE], "max_tokens": 0}, "max_tokens", ">= 1"),
        ({"messages": [MESSAGE], "n": 9}, "n", "<= 8"),
        ({"messages": [MESSAGE], "stop": ["a", ""]}, "stop[1]", "length >= 1"),
        (
            {"messages": [MESSAGE], "response_format": {"type": "xml"}},
            "response_format.type",
            "xml",
        ),
        (
            {"messages": [MESSAGE], "response_format": {"type": "json_schema", "json_schema": {}}},
            "response_format.json_schema",
            "name",
        ),
    ],
)
def test_a_wrong_value_is_named_by_its_path(body: dict[str, Any], path: str, says: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(body), type=ChatRequest)
    message = str(caught.value)
    assert says in message
    assert not path or message.endswith(f" - at `$.{path}`")


def test_fields_of_other_servers_are_ignored() -> None:
    body = msgspec.json.encode({"messages": [MESSAGE], "frequency_penalty": 1, "user": "me"})
    assert msgspec.json.decode(body, type=ChatRequest).messages[0].text == "hi"


def test_null_means_the_same_as_nothing() -> None:
    body = msgspec.json.encode({"messages": [MESSAGE], "temperature": None, "stop": None})
    assert msgspec.json.decode(body, type=ChatRequest) == ChatRequest((ChatMessage.user("hi"),))


def test_the_parts_of_a_message_are_read_as_one_text() -> None:
    parts = (TextPart("a", "text"), TextPart("b", "text"))
    assert ChatMessage(Role.USER, parts).text == "ab"


def test_the_newer_name_of_the_token_limit_wins() -> None:
    request = ChatRequest((ChatMessage.user("x"),), max_tokens=5, max_completion_tokens=7)
    assert request.token_limit == 7


def test_one_stop_string_is_a_list_of_one() -> None:
    assert ChatRequest((ChatMessage.user("x"),), stop="end").stops == ("end",)
    assert ChatRequest((ChatMessage.user("x"),)).stops == ()


def test_templates_know_the_developer_as_the_system() -> None:
    assert Role.DEVELOPER.template_name == "system"
    assert Role.TOOL.template_name == "tool"


@pytest.mark.parametrize("status", HealthStatus)
def test_only_a_loaded_model_is_healthy(status: HealthStatus) -> None:
    assert Health(status).ready == (status.http_status == 200) == (status is HealthStatus.OK)


def test_a_chunk_tells_its_text_and_its_end() -> None:
    chunk = ChatChunk("id", 0, "m", (ChunkChoice(0, Delta(content="a"), FinishReason.STOP),))
    assert (chunk.text, chunk.finish_reason) == ("a", FinishReason.STOP)
    assert (ChatChunk("id", 0, "m", ()).text, ChatChunk("id", 0, "m", ()).finish_reason) == (
        "",
        None,
    )


def test_importing_the_types_loads_no_http_client() -> None:
    code = "import sys, llmos_api; print('httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
