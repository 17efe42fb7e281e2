"""When a start counts as good, and what the person is told when one did not."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_api import (
    ChatCompletion,
    ChatMessage,
    ChatRequest,
    Choice,
    EngineUnavailable,
    FinishReason,
    Health,
    HealthStatus,
    Usage,
)
from llmos_api.notices import read_notices
from llmos_ctl.boot_check import NotGood, check, keep_failure
from llmos_ctl.boot_notice import tell
from llmos_ctl.update.failures import Failure, add_failure, read_failures, reasons
from tests.unit.ctl.fake_machine import FakeMachine

PLAN = '{"say": "Show free space", "command": "df -h"}'


@dataclass
class Engine:
    """Gives one of ``healths`` after the other, and then stays with the last one."""

    healths: list[Health] = field(default_factory=lambda: [Health(HealthStatus.OK, "plan")])
    answer: str = PLAN
    finish: FinishReason = FinishReason.STOP
    asked: list[ChatRequest] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator["Engine"]:
        yield self

    async def health(self) -> Health:
        return self.healths.pop(0) if len(self.healths) > 1 else self.healths[0]

    async def chat(self, request: ChatRequest) -> ChatCompletion:
        self.asked.append(request)
        choice = Choice(0, ChatMessage.assistant(self.answer), self.finish)
        return ChatCompletion("1", 0, "plan", (choice,), Usage(1, 1, 2))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with one model, good or bad."""
    (tmp_path / "plan.gguf").touch()
    return tmp_path


async def result(engine: Engine, models: Path) -> str:
    return await check(engine.connect, [models], patience=0.05, pause=0.001)


async def test_an_engine_that_answers_makes_a_start_good(models: Path) -> None:
    engine = Engine()
    assert await result(engine, models) == "plan has answered"
    assert len(engine.asked) == 1


async def test_a_model_may_take_a_while_to_load(models: Path) -> None:
    loading = Health(HealthStatus.LOADING)
    assert await result(Engine(healths=[loading, loading, Health(HealthStatus.OK)]), models)


async def test_a_model_that_talks_without_end_answers_too(models: Path) -> None:
    assert await result(Engine(answer='{"say": "Well', finish=FinishReason.LENGTH), models)


async def test_without_any_model_there_is_nothing_to_ask(tmp_path: Path) -> None:
    engine = Engine([Health(HealthStatus.FAILED, error="there is no model")])
    assert "no model" in await result(engine, tmp_path)


@pytest.mark.parametrize("answer", ["", "df -h", "{}", "[]", '{"say": "", "command": ""}', "null"])
async def test_an_answer_that_is_no_plan_is_not_good(models: Path, answer: str) -> None:
    with pytest.raises(NotGood, match="no plan"):
        await result(Engine(answer=answer), models)


async def test_an_engine_that_fails_is_not_good_and_says_why(models: Path) -> None:
    engine = Engine([Health(HealthStatus.FAILED, error="plan.gguf: damaged")])
    with pytest.raises(NotGood, match=r"plan\.gguf: damaged \(within 0 seconds\)"):
        await result(engine, models)


async def test_an_engine_that_is_not_there_is_not_good(models: Path) -> None:
    class Gone(Engine):
        async def health(self) -> Health:
            raise EngineUnavailable(Path("/run/llmos/engine.sock"), "No such file or directory")

    with pytest.raises(NotGood, match="does not answer on"):
        await result(Gone(), models)


@given(st.text())
async def test_no_answer_is_too_odd_to_judge(answer: str) -> None:
    with contextlib.suppress(NotGood):
        await check(Engine(answer=answer).connect, [], patience=0.01, pause=0.001)


# Why it failed


def test_the_reason_is_kept_with_the_version(tmp_path: Path) -> None:
    FakeMachine(tmp_path, running="0.2.0").world()
    keep_failure("the engine did not come up", tmp_path)
    assert reasons(tmp_path) == {"0.2.0": "the engine did not come up"}


def test_a_reason_that_cannot_be_kept_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_failure("the engine did not come up", tmp_path)
    assert "is not kept" in capsys.readouterr().err


def test_only_the_last_reasons_are_kept(tmp_path: Path) -> None:
    for number in range(50):
        add_failure(Failure("2", "2026-01-01", str(number)), tmp_path)
    assert len(read_failures(tmp_path)) == 20
    assert reasons(tmp_path) == {"2": "49"}


def test_a_damaged_record_is_none(tmp_path: Path) -> None:
    add_failure(Failure("2", "2026-01-01", "x"), tmp_path)
    path = next(tmp_path.rglob("failures.json"))
    path.write_text("[{")
    assert read_failures(tmp_path) == ()


# What the person is told


def test_a_version_that_did_not_work_is_told_at_the_start_of_a_session(tmp_path: Path) -> None:
    kernels = ["llmos_0.1.0.efi", "llmos_0.2.0+0-3.efi"]
    world = FakeMachine(tmp_path, slot_b="0.2.0", kernels=kernels).world()
    add_failure(Failure("0.2.0", "2026-01-01", "the engine did not come up"), tmp_path)
    tell(world, tmp_path / "notices")
    (notice,) = read_notices(tmp_path / "notices")
    assert notice.startswith("Version 0.2.0 did not work (the engine did not come up)")
    assert "0.1.0 runs instead" in notice
    assert notice.endswith("sudo llmosctl update status")


def test_when_all_is_well_nothing_is_told(tmp_path: Path) -> None:
    world = FakeMachine(tmp_path).world()
    (tmp_path / "notices").mkdir()
    (tmp_path / "notices/boot.txt").write_text("old\n")
    tell(world, tmp_path / "notices")
    assert read_notices(tmp_path / "notices") == ()
