"""The three endpoints as a client sees them, and bodies that nobody should send."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from llmos_api import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    FinishReason,
    Health,
    HealthStatus,
)
from llmos_engine.app import MAX_BODY
from llmos_engine.backends.base import BackendOptions
from llmos_engine.backends.echo import EchoBackend
from llmos_engine.engine import Engine
from llmos_engine.intake import chat_works, decode
from llmos_engine.jobs import Task, Work
from llmos_engine.models import ModelStore
from llmos_engine.scheduling.request import Priority
from tests.unit.engine.http_api import CHAT, Api, ask, detail, echoing, events
from tests.unit.engine.in_thread import InThread
from tests.unit.models.gguf_file import tiny_model

ENDLESS = {"name": "x", "schema": {"$ref": "#"}}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with echoing(tmp_path_factory.mktemp("models"), context=256) as api:
        yield api


def test_a_chat_is_answered_in_openais_shape(api: Api) -> None:
    response = api.post(ask("hello"))
    assert response.status_code == 200
    completion = msgspec.json.decode(response.content, type=ChatCompletion)
    assert completion.text == "hello"
    assert completion.model == "default"
    assert completion.id.startswith("chatcmpl-")
    assert completion.choices[0].finish_reason is FinishReason.STOP
    assert completion.usage.total_tokens == 10
    assert response.json()["object"] == "chat.completion"


def test_a_streamed_chat_has_a_role_the_text_an_end_and_the_usage(api: Api) -> None:
    response = api.post(ask("hé", stream=True, stream_options={"include_usage": True}))
    *raw, done = events(response)
    assert done == "[DONE]"
    chunks = [msgspec.json.decode(event, type=ChatChunk) for event in raw]
    assert raw[0].find('"role":"assistant"') > 0
    assert "".join(chunk.text for chunk in chunks) == "hé"
    assert chunks[-2].finish_reason is FinishReason.STOP
    assert chunks[-1].choices == ()
    assert chunks[-1].usage is not None
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_usage_comes_only_when_it_is_asked_for(api: Api) -> None:
    *raw, _ = events(api.post(ask(stream=True)))
    assert all(json.loads(event)["usage"] is None for event in raw)


def test_a_schema_is_followed(api: Api) -> None:
    schema = {
        "type": "object",
        "properties": {"say": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["say", "n"],
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "plan", "schema": schema}}
    answer = json.loads(
        api.post(ask("hi", response_format=wanted)).json()["choices"][0]["message"]["content"]
    )
    assert answer == {"say": "hi", "n": 0}
    assert (
        json.loads(
            api.post(ask(response_format={"type": "json_object"})).json()["choices"][0]["message"][
                "content"
            ]
        )
        == {}
    )


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        (b"", 400, None, "invalid_json"),
        (b"{", 400, None, "invalid_json"),
        (b"\xff\xfe", 400, None, "invalid_json"),
        (b'{"unknown":' + b"[" * 100_000, 400, None, "invalid_json"),
        (
            b'{"messages":[{"role":"user","content":""}],"response_format":{"type":"json_schema","json_schema":'
            b'{"name":"x","schema":' + b'{"a":' * 10_000,
            400,
            None,
            "invalid_json",
        ),
        (
            ask(response_format={"type": "json_schema", "json_schema": ENDLESS}),
            400,
            "response_format",
            "unsupported_schema",
        ),
        (b"[]", 400, None, "invalid_value"),
        ({}, 400, None, "invalid_value"),
        (ask(temperature="hot"), 400, "temperature", "invalid_value"),
        (ask(model="gpt-4"), 404, "model", "model_not_found"),
        (ask("x" * 300), 400, "messages", "context_length_exceeded"),
        (
            ask(
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"not": 1}},
                }
            ),
            400,
            "response_format.json_schema.schema.not",
            "unsupported_schema",
        ),
    ],
)
def test_a_wrong_request_is_refused_with_the_place(
    api: Api, body: object, status: int, param: str | None, code: str
) -> None:
    response = api.post(body)
    assert response.status_code == status
    error = detail(response)
    assert (error["param"], error["code"]) == (param, code)
    assert error["type"] == "invalid_request_error"
    assert error["message"]


def test_an_error_before_a_stream_has_its_own_status(api: Api) -> None:
    assert api.post(ask("x" * 300, stream=True)).status_code == 400


def test_a_body_that_is_too_long_is_refused(api: Api) -> None:
    response = api.post(b" " * (MAX_BODY + 1))
    assert (response.status_code, detail(response)["code"]) == (413, "body_too_large")


def test_unknown_paths_and_methods_are_refused_in_the_same_shape(api: Api) -> None:
    assert (api.get("/nope").status_code, detail(api.get("/nope"))["code"]) == (404, "not_found")
    response = api.get(CHAT)
    assert (response.status_code, detail(response)["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


def test_health_and_models_tell_what_is_loaded(api: Api) -> None:
    assert api.post(ask()).status_code == 200
    assert api.get("/health").json() == {"status": "ok", "model": "default", "device": "nothing"}
    (model,) = api.get("/v1/models").json()["data"]
    assert (model["id"], model["object"]) == ("default", "model")
    assert model["meta"] == {"llmos.plan.slots": "1"}


def test_without_a_model_health_says_why_and_chats_are_refused(tmp_path: Path) -> None:
    failed = threading.Event()

    def heard(health: Health) -> None:
        if health.status is HealthStatus.FAILED:
            failed.set()

    engine = Engine(
        InThread(EchoBackend(BackendOptions())), ModelStore([tmp_path]), on_health=heard
    )
    api = Api(engine)
    assert (api.get("/health").status_code, api.get("/health").json()) == (
        503,
        {"status": "loading"},
    )
    engine.start()
    assert failed.wait(10)
    engine.drain()
    assert engine.stop(10)
    health = api.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "failed")
    assert "default.gguf" in health.json()["error"]
    refused = api.post(ask())
    assert (refused.status_code, detail(refused)["code"]) == (503, "model_failed")
    assert api.get("/v1/models").json()["data"] == []


def test_a_fault_of_the_program_is_told_without_a_traceback(api: Api) -> None:
    engine = Engine(InThread(EchoBackend(BackendOptions())), ModelStore([]))
    engine.store = None  # type: ignore[assignment]
    response = Api(engine).get("/v1/models")
    assert response.status_code == 500
    assert detail(response)["message"] == "the engine failed: AttributeError"


def task_of(work: Work) -> Task:
    assert isinstance(work.task, Task)
    return work.task


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["user", "assistant", "text", "json_object", "json_schema", "object", "#"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=3)
            | st.sampled_from(
                ["role", "content", "type", "json_schema", "schema", "name", "properties", "$ref"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
SCHEMA = st.dictionaries(
    st.sampled_from(
        ["type", "properties", "items", "enum", "anyOf", "required", "$ref", "maxLength"]
    ),
    JSON,
    max_size=3,
)
FIELDS = {
    "model": JSON,
    "stream": JSON,
    "stream_options": JSON,
    "max_tokens": JSON,
    "temperature": JSON,
    "top_p": JSON,
    "top_k": JSON,
    "seed": JSON,
    "stop": JSON,
    "response_format": JSON
    | st.builds(
        lambda schema: {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        SCHEMA,
    ),
}


def check(response: httpx.Response) -> None:
    assert response.status_code in {200, 400, 404, 413}
    if response.status_code != 200:
        detail(response)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_engine_fail(api: Api, body: bytes) -> None:
    check(api.post(body))


@settings(max_examples=200)
@given(JSON)
def test_no_json_makes_the_engine_fail(api: Api, body: object) -> None:
    check(api.post(body))


@settings(max_examples=200)
@given(st.text(max_size=20), st.fixed_dictionaries({}, optional=FIELDS))
def test_no_options_make_the_engine_fail(api: Api, text: str, more: dict[str, Any]) -> None:
    check(api.post(ask(text, **more)))


def test_what_was_answered_is_counted(api: Api) -> None:
    def counted() -> dict[tuple[str, str], float]:
        families = text_string_to_metric_families(api.get("/metrics").text)
        return {
            (sample.name, ",".join(sample.labels.values())): sample.value
            for family in families
            for sample in family.samples
        }

    before = counted()
    api.post(ask("hello", service_tier="flex"))
    after = counted()

    def more(name: str, labels: str) -> float:
        return after[name, labels] - before.get((name, labels), 0.0)

    assert more("llmos_engine_requests_total", "batch,stop") == 1
    assert more("llmos_engine_tokens_total", "read") == 5
    assert more("llmos_engine_tokens_total", "made") == 5
    assert more("llmos_engine_first_token_seconds_count", "batch") == 1
    assert more("llmos_engine_token_gap_seconds_count", "batch") == 4
    assert after["llmos_engine_ready", ""] == 1


def test_several_answers_to_one_request(api: Api) -> None:
    response = api.post(ask("hello", n=3))
    completion = msgspec.json.decode(response.content, type=ChatCompletion)
    assert [(c.index, c.message.text) for c in completion.choices] == [
        (index, "hello") for index in range(3)
    ]
    usage = completion.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (5, 15, 20)


def test_several_answers_in_one_stream(api: Api) -> None:
    body = ask("hello", n=3, stream=True, stream_options={"include_usage": True})
    lines = api.post(body).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    chunks = [
        msgspec.json.decode(line.removeprefix("data: "), type=ChatChunk) for line in lines[:-2]
    ]
    texts = {0: "", 1: "", 2: ""}
    for chunk in chunks[:-1]:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert set(texts.values()) == {"hello"}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 15


def test_each_of_several_answers_has_its_own_seed(tmp_path: Path) -> None:
    tiny_model().write(tmp_path / "default.gguf")
    body = json.dumps(ask(seed=7, n=3)).encode()
    works = chat_works(decode(body, ChatRequest), None, ModelStore([tmp_path]))
    assert [task_of(work).sampling.seed for work in works] == [7, 8, 9]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 9),
        ("min_p", 1.5),
        ("frequency_penalty", -3),
        ("logit_bias", {"5": 101}),
        ("logit_bias", {"five": 1}),
        ("service_tier", "golden"),
    ],
)
def test_a_value_out_of_its_bounds_is_named(api: Api, field: str, value: object) -> None:
    response = api.post(ask() | {field: value})
    assert response.status_code == 400
    assert str(detail(response)["param"]).startswith(field)


@pytest.mark.parametrize(
    ("tier", "priority"),
    [
        (None, Priority.INTERACTIVE),
        ("auto", Priority.INTERACTIVE),
        ("priority", Priority.INTERACTIVE),
        ("default", Priority.SERVICE),
        ("flex", Priority.BATCH),
    ],
)
def test_a_service_tier_only_takes_urgency_away(
    tmp_path: Path, tier: str | None, priority: Priority
) -> None:
    tiny_model().write(tmp_path / "default.gguf")
    body = json.dumps(ask() | ({"service_tier": tier} if tier else {})).encode()
    [work] = chat_works(decode(body, ChatRequest), None, ModelStore([tmp_path]))
    assert task_of(work).priority is priority
