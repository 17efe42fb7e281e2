"""Texts that are gone on with, and tokens, as a client sees them."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_api.completions import Completion
from tests.unit.engine.http_api import Api, ask, detail, echoing, events

PATH = "/v1/completions"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with echoing(tmp_path_factory.mktemp("models"), context=256) as api:
        yield api


def complete(api: Api, prompt: object, **more: object) -> Completion:
    response = api.post({"prompt": prompt, **more}, PATH)
    assert response.status_code == 200, response.text
    return msgspec.json.decode(response.content, type=Completion)


def test_a_text_is_gone_on_with_in_openais_shape(api: Api) -> None:
    answer = complete(api, "hello", max_tokens=3)
    assert answer.id.startswith("cmpl-")
    assert [choice.text for choice in answer.choices] == ["hel"]
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 8


def test_without_a_limit_there_are_sixteen_tokens(api: Api) -> None:
    assert complete(api, "x" * 40).choices[0].text == "x" * 16


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("ab", ["ab"]),
        ([97, 98], ["ab"]),
        (["ab", "cd"], ["ab", "cd"]),
        ([[97, 98], [99]], ["ab", "c"]),
        (["ab", [99]], ["ab", "c"]),
    ],
)
def test_prompts_are_texts_or_tokens_one_or_many(
    api: Api, prompt: object, texts: list[str]
) -> None:
    assert [choice.text for choice in complete(api, prompt).choices] == texts


def test_the_choices_of_a_prompt_stand_together(api: Api) -> None:
    answer = complete(api, ["a", "b"], n=2)
    assert [(c.index, c.text) for c in answer.choices] == [
        (0, "a"),
        (1, "a"),
        (2, "b"),
        (3, "b"),
    ]


def test_each_prompt_counts_once_in_the_usage(api: Api) -> None:
    answer = complete(api, ["ab", "c"], n=2)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 6)


def test_a_request_of_many_prompts_is_taken_as_a_whole(api: Api) -> None:
    texts = [f"{number:02}" for number in range(64)]
    assert [choice.text for choice in complete(api, texts).choices] == texts


def test_an_echo_with_logprobs_judges_the_prompt_and_makes_nothing(api: Api) -> None:
    answer = complete(api, "añb", echo=True, logprobs=1, max_tokens=0)
    [choice] = answer.choices
    assert (choice.text, choice.finish_reason) == ("añb", "length")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 0
    assert choice.logprobs is not None
    assert choice.logprobs.token_logprobs == (None, 0.0, 0.0, 0.0)
    assert choice.logprobs.top_logprobs[0] is None
    assert choice.logprobs.top_logprobs[-1] == {"b": 0.0}
    # The second byte of ñ completes a character that began at 1.
    assert choice.logprobs.text_offset == (0, 1, 1, 2)


def test_an_echo_comes_before_the_answer_and_its_places_too(api: Api) -> None:
    [choice] = complete(api, "ab", echo=True, logprobs=0).choices
    assert choice.text == "abab"
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == ("a", "b", "a", "b")
    assert choice.logprobs.text_offset == (0, 1, 2, 3)


def test_a_stream_has_pieces_an_end_and_the_usage(api: Api) -> None:
    body = {"prompt": "hé", "stream": True, "stream_options": {"include_usage": True}}
    *raw, done = events(api.post(body, PATH))
    assert done == "[DONE]"
    parts = [msgspec.json.decode(event, type=Completion) for event in raw]
    assert "".join(choice.text for part in parts for choice in part.choices) == "hé"
    assert parts[-2].choices[0].finish_reason == "stop"
    assert parts[-1].usage is not None
    assert parts[-1].choices == ()


def test_a_chat_tells_how_probable_its_tokens_were(api: Api) -> None:
    choice = api.post(ask("hé", logprobs=True, top_logprobs=2)).json()["choices"][0]
    places = choice["logprobs"]["content"]
    assert [place["bytes"] for place in places] == [[104], [0xC3], [0xA9]]
    said = {"token": "h", "logprob": 0.0, "bytes": [104]}
    assert places[0] == {**said, "top_logprobs": [said]}


def test_a_streamed_chat_tells_them_with_the_pieces(api: Api) -> None:
    *raw, _ = events(api.post(ask("hello", stream=True, logprobs=True)))
    choices = [json.loads(event)["choices"][0] for event in raw]
    told = [
        place for choice in choices for place in (choice["logprobs"] or {"content": []})["content"]
    ]
    assert "".join(place["token"] for place in told) == "hello"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, None),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": ["a"] * 65}, "prompt"),
        ({"prompt": [[]]}, "prompt[0]"),
        ({"prompt": [-1]}, "prompt[0]"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "a", "max_tokens": -1}, "max_tokens"),
        ({"prompt": "a", "logprobs": 6}, "logprobs"),
        ({"prompt": [1], "suffix": "b"}, "suffix"),
        ({"prompt": "a", "suffix": "b", "echo": True}, "suffix"),
        ({"prompt": "x" * 300}, "prompt"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(
    api: Api, body: dict[str, Any], param: str | None
) -> None:
    response = api.post(body, PATH)
    assert response.status_code == 400
    assert detail(response)["param"] == param


def test_top_logprobs_need_logprobs(api: Api) -> None:
    response = api.post(ask(top_logprobs=2))
    assert (response.status_code, detail(response)["param"]) == (400, "top_logprobs")


def test_text_becomes_tokens_and_tokens_text(api: Api) -> None:
    tokens = api.post({"content": "hé"}, "/tokenize").json()
    assert tokens == {"tokens": [104, 0xC3, 0xA9]}
    assert api.post(tokens, "/detokenize").json() == {"content": "hé"}
    with_pieces = api.post({"content": "hé", "with_pieces": True}, "/tokenize").json()
    assert with_pieces["tokens"][:2] == [{"id": 104, "piece": "h"}, {"id": 0xC3, "piece": [0xC3]}]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {"content": 5}, "content"),
        ("/tokenize", {"content": "x" * (256 * 1024 + 1)}, "content"),
        ("/detokenize", {"tokens": [-1]}, "tokens[0]"),
        ("/detokenize", {"tokens": [1 << 20]}, "tokens"),
    ],
)
def test_what_has_no_tokens_is_refused(api: Api, path: str, body: object, param: str) -> None:
    response = api.post(body, path)
    assert (response.status_code, detail(response)["param"]) == (400, param)


def test_another_model_is_refused_for_tokens_too(api: Api) -> None:
    response = api.post({"content": "a", "model": "missing"}, "/tokenize")
    assert (response.status_code, detail(response)["code"]) == (404, "model_not_found")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    ["prompt", "max_tokens", "echo", "logprobs", "suffix", "n", "stream", "stop", "model", "seed"]
)


@settings(max_examples=150)
@given(st.dictionaries(FIELDS, JSON | st.just("a") | st.just([97]) | st.just(1), max_size=5))
def test_no_body_whatever_is_a_fault_of_the_engine(api: Api, body: dict[str, Any]) -> None:
    response = api.post(body, PATH)
    assert response.status_code in {200, 400, 404}, response.text
