"""``llmosctl update`` as a person meets it, on a machine whose programs are played."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmos_ctl.errors import CtlError, UsageError
from llmos_ctl.main import cli
from llmos_ctl.run import Done
from llmos_ctl.update.failures import Failure, add_failure
from llmos_ctl.update.loader import Loader
from llmos_ctl.update.world import World
from tests.unit.ctl.fake_machine import RECORDED, FakeMachine

UPDATED = {"slot_b": "0.2.0", "kernels": ["llmos_0.1.0.efi", "llmos_0.2.0.efi"]}
FAILED = {"slot_b": "0.2.0", "kernels": ["llmos_0.1.0.efi", "llmos_0.2.0+0-3.efi"]}


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def ask(world: World, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["update", *arguments], obj=world)


def said(world: World, *arguments: str) -> str:
    answer = ask(world, *arguments)
    assert answer.exception is None, answer.exception
    return answer.output


def refused(world: World, *arguments: str) -> CtlError:
    answer = ask(world, *arguments)
    assert isinstance(answer.exception, CtlError), answer.output
    return answer.exception


# Looking


def test_a_newer_version_is_shown_with_who_signed_it(machine: FakeMachine) -> None:
    text = said(machine.world(is_root=False), "check")
    assert "system  0.1.0 runs; 0.2.0 is there: sudo llmosctl update apply" in text
    assert "Published at https://updates.example/llmos, signed by test (B13CBB5DFA3031E3)" in text


def test_looking_never_names_the_machines_own_partitions(machine: FakeMachine) -> None:
    """So it needs no root: the updater is asked with a target that does not exist."""
    said(machine.world(is_root=False), "check")
    assert not machine.installs
    assert not [call for call in machine.calls if call[0] == "bootctl"]


def test_the_newest_version_is_said_to_be_it(machine: FakeMachine) -> None:
    machine.published = ["0.1.0"]
    assert "system  0.1.0 runs, newest" in said(machine.world(), "check")


def test_a_version_that_failed_here_is_not_offered_again(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, **FAILED)  # type: ignore[arg-type]
    assert "0.2.0 was tried and did not work" in said(machine.world(), "check")


def test_a_program_gets_the_same_as_json(machine: FakeMachine) -> None:
    machine.models = {"model-plan": ["6"]}
    answer = json.loads(said(machine.world(), "check", "--json"))
    by_name = {one["name"]: one for one in answer["components"]}
    assert by_name["system"]["candidate"] == "0.2.0"
    assert by_name["system"]["signed_by"] == "test"
    assert by_name["model-plan"]["installed"] == "6"


@pytest.mark.parametrize(
    ("record", "what", "hint"),
    [
        ("badsig", "not signed by the key of this image", "Nothing was changed"),
        ("nosig", "is not signed", "Nothing was changed"),
        ("damaged", "root.gz is damaged", "not changed"),
        ("big", "does not fit", "sizes"),
        ("refused", "cannot be reached", "networkctl"),
        ("unresolved", "cannot be reached", "networkctl"),
        ("404", "there are no updates at https://updates.example/llmos", "--source"),
        ("empty", "there are no updates", "--source"),
        ("gone", "not all files", "--source"),
    ],
)
def test_each_failure_is_one_sentence_and_what_to_do(
    machine: FakeMachine, record: str, what: str, hint: str
) -> None:
    machine.failure = f"sysupdate-{record}.txt"
    error = refused(machine.world(), "apply")
    assert what in error.what
    assert "\n" not in error.what
    assert hint in (error.hint or "")
    assert error.exit_code == 1


# Installing


def test_an_update_says_what_the_next_start_will_do(machine: FakeMachine) -> None:
    text = said(machine.world(), "apply")
    assert machine.installs == ["0.2.0"]
    assert "At the next start 0.2.0 runs." in text
    assert "three starts, 0.1.0 comes back by itself" in text
    assert ("systemctl", "reboot") not in machine.calls


def test_whoever_says_so_starts_again_at_once(machine: FakeMachine) -> None:
    said(machine.world(), "apply", "--reboot")
    assert machine.calls[-1] == ("systemctl", "reboot")


def test_an_update_ends_an_earlier_going_back(machine: FakeMachine) -> None:
    machine.pin("llmos_0.1.0.efi")
    said(machine.world(), "apply")
    assert machine.pinned == ""


def test_what_is_new_enough_is_left_alone(machine: FakeMachine) -> None:
    machine.published = ["0.1.0"]
    text = said(machine.world(), "apply")
    assert machine.installs == []
    assert "system: 0.1.0 is installed, and nothing newer is published" in text


def test_models_come_only_where_one_was_installed_or_named(machine: FakeMachine) -> None:
    machine.models = {"model-plan": [], "model-big": ["0.1.0"]}
    assert "name it to install it" in said(machine.world(), "apply")
    assert len(machine.installs) == 2, "the big model and the system"
    machine.calls.clear()
    said(machine.world(), "apply", "model-plan")
    assert machine.installs == ["0.2.0"]


def test_the_system_comes_last(machine: FakeMachine) -> None:
    """An extension has to be there before the system of its version starts."""
    machine.models = {"cuda": ["0.1.0"]}
    text = said(machine.world(), "apply")
    assert text.index("cuda: 0.2.0 is installed") < text.index("At the next start")


def test_an_unknown_component_is_bad_input(machine: FakeMachine) -> None:
    error = refused(machine.world(), "apply", "cuda")
    assert isinstance(error, UsageError)
    assert "one of: system" in error.what


def test_another_place_is_asked_for_once(machine: FakeMachine) -> None:
    said(machine.world(), "apply", "--source", "/media/stick/")
    assert not list(machine.folder.glob("etc/sysupdate*")), "nothing of it stays"
    assert "file:///media/stick," in said(machine.world(), "check", "--source", "/media/stick/")


@pytest.mark.parametrize("place", ["updates", "ftp://x", "../x"])
def test_a_place_that_is_none_is_bad_input(machine: FakeMachine, place: str) -> None:
    error = refused(machine.world(), "check", "--source", place)
    assert isinstance(error, UsageError)
    assert "absolute path" in error.what


@pytest.mark.parametrize("command", ["apply", "rollback"])
def test_who_is_not_root_is_told_the_command(machine: FakeMachine, command: str) -> None:
    error = refused(machine.world(is_root=False), command)
    assert isinstance(error, UsageError)
    assert error.hint == f"sudo llmosctl update {command}"
    assert not machine.installs


def test_a_stick_in_live_mode_is_not_updated(machine: FakeMachine) -> None:
    machine.mode = "llmos.mode=live"
    assert "live mode" in refused(machine.world(), "apply").what
    assert not machine.installs


def test_a_version_that_failed_is_tried_again_on_request_only(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, **FAILED)  # type: ignore[arg-type]
    world = machine.world()
    assert "--retry tries it again" in said(world, "apply")
    assert "At the next start 0.2.0 runs" in said(world, "apply", "--retry")
    assert (tmp_path / "efi/EFI/Linux/llmos_0.2.0+3-0.efi").exists()
    assert not machine.installs


# How it stands


def test_both_slots_are_shown_with_what_starts_next(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, running="0.2.0", **UPDATED)  # type: ignore[arg-type]
    text = said(machine.world(), "status")
    assert "A  0.1.0  has worked" in text
    assert "B  0.2.0  runs, has worked" in text
    assert "At the next start 0.2.0 runs." in text


def test_a_version_on_trial_shows_its_tries(tmp_path: Path) -> None:
    kernels = ["llmos_0.1.0.efi", "llmos_0.2.0+2-1.efi"]
    machine = FakeMachine(tmp_path, "0.2.0", slot_b="0.2.0", kernels=kernels, counting=True)
    assert "B  0.2.0  runs, on trial: 1 of 3 tries are used" in said(machine.world(), "status")


def test_a_counted_start_that_was_found_good_is_proven(tmp_path: Path) -> None:
    """The boot loader's variable stays: it tells of the start, not of how it went."""
    machine = FakeMachine(
        tmp_path,
        running="0.2.0",
        slot_b="0.2.0",
        kernels=["llmos_0.1.0.efi", "llmos_0.2.0.efi"],
        counting=True,
        blessed=True,
    )
    assert "B  0.2.0  runs, has worked" in said(machine.world(), "status")
    assert "B  0.2.0  runs, has worked" in said(machine.world(is_root=False), "status")


def test_an_update_that_was_taken_back_says_why(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, **FAILED)  # type: ignore[arg-type]
    add_failure(Failure("0.2.0", "2026-01-01T00:00:00", "the engine did not answer"), tmp_path)
    text = said(machine.world(), "status")
    assert "B  0.2.0  did not work: 3 of 3 tries are used" in text
    assert "At the next start 0.1.0 runs." in text
    assert "0.2.0 was left for 0.1.0: the engine did not answer." in text
    answer = json.loads(said(machine.world(), "status", "--json"))
    assert answer["failed"] == {"version": "0.2.0", "reason": "the engine did not answer"}


def test_a_slot_that_the_initrd_could_not_start_says_why(tmp_path: Path) -> None:
    """It then chose the other one for all starts; the next update ends that."""
    machine = FakeMachine(tmp_path, **UPDATED)  # type: ignore[arg-type]
    world = machine.world()
    machine.leave_behind("llmos_0.2.0 its root cannot be read")
    machine.pin("llmos_0.1.0.efi")
    assert "0.2.0 was left for 0.1.0: its root cannot be read." in said(world, "status")
    assert "0.2.0: did not work" in (refused(world, "rollback").hint or "")
    machine.published = ["0.3.0"]
    said(world, "apply")
    assert machine.pinned == ""
    assert "was left for" not in said(world, "status")


def test_without_root_status_shows_what_everybody_may_see(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, **UPDATED)  # type: ignore[arg-type]
    text = said(machine.world(is_root=False), "status")
    assert "A  0.1.0  runs, has worked" in text
    assert "B  0.2.0  only root may see how it stands" in text
    assert "sudo llmosctl update status" in text


def test_a_disk_with_room_for_one_version_says_so(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, small=True)
    world = machine.world()
    assert "too small for a second version" in said(world, "status")
    error = refused(world, "apply")
    assert "too small for a second version" in error.what
    assert "larger one" in (error.hint or "")
    assert not machine.installs


def test_a_system_without_two_slots_says_so(machine: FakeMachine) -> None:
    world = machine.world()
    (machine.folder / "proc/cmdline").write_text("root=/dev/sda1\n")
    assert "does not run from one of two root partitions" in refused(world, "status").what


# Going back


def test_going_back_starts_the_other_version_from_now_on(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, running="0.2.0", **UPDATED)  # type: ignore[arg-type]
    assert "At the next start 0.1.0 runs" in said(machine.world(), "rollback")
    assert machine.pinned == "llmos_0.1.0.efi"


def test_going_back_twice_goes_forward(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, **UPDATED)  # type: ignore[arg-type]
    world = machine.world()
    machine.pin("llmos_0.1.0.efi")
    assert "At the next start 0.1.0 runs." in said(world, "status")
    assert "At the next start 0.2.0 runs" in said(world, "rollback")
    assert machine.pinned == ""


def test_there_is_no_going_back_to_nothing(machine: FakeMachine) -> None:
    error = refused(machine.world(), "rollback")
    assert "no other version" in error.what
    assert "no update yet" in (error.hint or "")


def test_there_is_no_going_back_to_what_failed(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, **FAILED)  # type: ignore[arg-type]
    assert "0.2.0: did not work" in (refused(machine.world(), "rollback").hint or "")
    assert machine.pinned is None


def test_a_record_of_the_real_bootctl_is_read() -> None:
    """Each kernel image once, whatever modes it has in the menu; other systems' not at all."""
    listing = (RECORDED / "bootctl-list.json").read_text()
    loader = Loader(lambda argv, **_: Done(tuple(argv), 0, listing), Path("/nowhere"))
    found = [
        (entry.id, entry.image.is_exhausted, entry.is_next) for entry in loader.entries("llmos")
    ]
    assert found == [("llmos_0.2.0.efi", True, False), ("llmos_0.1.0.efi", False, True)]
