"""From a request to a plan, whatever the model answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_api import Health, HealthStatus, JsonSchemaFormat, Model, StreamBroken
from llmos_shell.engine import Condition, EngineLink
from llmos_shell.errors import EngineAway, NotSure
from llmos_shell.instructions import EXAMPLES, system
from llmos_shell.plan import ENVELOPE_SCHEMA, Plan, make_plan, parse_answer
from llmos_shell.policy import Context, Policy
from tests.unit.shell.fake_engine import FakeEngine

POLICY = Policy()
EVERYTHING = "ls df head ps find"


def known(name: str) -> bool:
    return name in EVERYTHING.split()


async def plan(engine: FakeEngine, request: str) -> Plan:
    return await make_plan(request, EngineLink(engine), POLICY, known)


async def test_a_request_becomes_the_command_that_the_model_names(engine: FakeEngine) -> None:
    engine.plan("how full is it", "df -h", "Show free space")
    assert await plan(engine, "how full is it") == Plan("Show free space", "df -h")


async def test_the_engine_is_asked_for_the_envelope_and_for_no_variety(engine: FakeEngine) -> None:
    await plan(engine, "hello")
    (request,) = engine.asked
    assert isinstance(request.response_format, JsonSchemaFormat)
    assert request.response_format.json_schema.schema == ENVELOPE_SCHEMA
    assert request.temperature == 0
    assert request.messages[-1].text == "hello"


async def test_a_model_with_slots_sees_slots_and_the_person_sees_names(engine: FakeEngine) -> None:
    engine.meta = {"llmos.plan.slots": "1", "llmos.plan.words": "list the files in"}
    engine.plan("list the files in <path1>", "ls <path1>", "List <path1>")
    assert await plan(engine, "list the files in /srv") == Plan("List /srv", "ls /srv")


async def test_a_slot_that_stands_for_nothing_is_not_a_plan(engine: FakeEngine) -> None:
    engine.meta = {"llmos.plan.slots": "1", "llmos.plan.words": "list files"}
    engine.plan("list files", "ls <path1>")
    with pytest.raises(NotSure):
        await plan(engine, "list files")


async def test_a_model_without_slots_gets_the_request_as_it_was_typed(engine: FakeEngine) -> None:
    await plan(engine, "List '/tmp/a b'?")
    assert engine.asked[0].messages[-1].text == "List '/tmp/a b'?"


async def test_a_command_that_bash_would_refuse_is_not_proposed(engine: FakeEngine) -> None:
    engine.plan("x", "ls 'unclosed")
    with pytest.raises(NotSure, match="bash would not accept"):
        await plan(engine, "x")


async def test_a_program_that_is_not_here_is_not_proposed(engine: FakeEngine) -> None:
    engine.plan("x", "ls | frobnicate -x")
    with pytest.raises(NotSure, match="there is no frobnicate here"):
        await plan(engine, "x")


async def test_a_model_may_propose_nothing(engine: FakeEngine) -> None:
    engine.plan("tell me a joke", "", "That needs no command")
    assert (await plan(engine, "tell me a joke")).command == ""


async def test_an_engine_that_is_gone_is_said_with_what_to_do(engine: FakeEngine) -> None:
    engine.stop()
    with pytest.raises(EngineAway, match="Connection refused") as caught:
        await plan(engine, "x")
    assert "Commands still work" in caught.value.hint


async def test_the_link_knows_that_the_engine_is_gone(engine: FakeEngine) -> None:
    link = EngineLink(engine)
    assert (await link.look()).condition is Condition.READY
    engine.stop()
    state = await link.look()
    assert state.condition is Condition.AWAY
    assert state.text == "model: not reachable: Connection refused"


async def test_an_engine_that_is_just_starting_is_waited_for(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.plan("x", "df")
    engine.health_answer = Health(HealthStatus.LOADING)
    models, silences = engine.models, [StreamBroken("the engine said nothing for 10 seconds")]

    async def silent_at_first() -> list[Model]:
        if silences:
            raise silences.pop()
        return await models()

    monkeypatch.setattr(engine, "models", silent_at_first)
    assert (await plan(engine, "x")).command == "df"


ENVELOPE = '{"say": "Look", "command": "ls"}'


@pytest.mark.parametrize(
    "answer",
    [
        ENVELOPE,
        f"\n{ENVELOPE}\n",
        f"```json\n{ENVELOPE}\n```",
        f"Here you are:\n```\n{ENVELOPE}\n```\nEnjoy.",
        f"Sure! {ENVELOPE} Anything else?",
        '{"command": "ls", "say": "Look", "risk": "none"}',
    ],
)
def test_a_plan_is_found_in_whatever_stands_around_it(answer: str) -> None:
    assert parse_answer(answer) == Plan("Look", "ls")


def test_a_command_in_a_fence_or_in_ticks_counts_too() -> None:
    assert parse_answer("```bash\nls -l\n```").command == "ls -l"
    assert parse_answer("Use `ls -l` for that.").command == "ls -l"


@pytest.mark.parametrize("answer", ["", "I cannot do that.", "{}", '{"command": 5}', "[]", "null"])
def test_an_answer_without_a_command_is_not_a_plan(answer: str) -> None:
    with pytest.raises(NotSure):
        parse_answer(answer)


@given(st.text() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_any_answer_is_a_plan_or_is_refused(answer: str) -> None:
    try:
        found = parse_answer(answer)
    except NotSure:
        return
    assert "\n" not in found.say
    assert len(found.say) <= 300


@given(st.text(max_size=50), st.text(max_size=50))
def test_the_envelope_survives_the_way(say: str, command: str) -> None:
    found = parse_answer(json.dumps({"say": say, "command": command}))
    assert found.command == command.strip()


def test_every_example_for_general_models_has_the_form_that_is_asked_for() -> None:
    here = Context("/home/ada", "/home/ada")
    for request, say, command in EXAMPLES:
        assert json.dumps({"say": say, "command": command}) in system()
        assert request in system()
        assert not POLICY.judge(command, here).broken
