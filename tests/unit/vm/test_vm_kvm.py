"""When KVM is used and when it is not."""

import dataclasses

import pytest

from llmos_image.errors import UserError
from llmos_image.vm.kvm import Accelerator, Host, choose, runs_a_guest

from .conftest import ScriptedToolbox

GOOD = Host(flags=frozenset({"svm", "sse2"}), node_is_usable=True, runs_a_guest=lambda: True)


def _never() -> bool:
    raise AssertionError("a guest was started although an earlier probe had said no")


def test_kvm_is_used_when_a_trial_guest_ran() -> None:
    assert choose(GOOD).accelerator is Accelerator.KVM


def test_a_cpu_without_virtualisation_flags_emulates_and_starts_nothing() -> None:
    host = dataclasses.replace(GOOD, flags=frozenset({"sse2"}), runs_a_guest=_never)
    choice = choose(host)
    assert choice.accelerator is Accelerator.TCG
    assert str(choice) == "tcg (the CPU has no svm or vmx flag)"


def test_a_node_that_cannot_be_opened_emulates_and_starts_nothing() -> None:
    choice = choose(dataclasses.replace(GOOD, node_is_usable=False, runs_a_guest=_never))
    assert choice.accelerator is Accelerator.TCG
    assert "/dev/kvm cannot be opened" in choice.reason


def test_kvm_that_is_there_but_broken_emulates() -> None:
    choice = choose(dataclasses.replace(GOOD, runs_a_guest=lambda: False))
    assert choice.accelerator is Accelerator.TCG
    assert "a trial guest did not run" in choice.reason


def test_the_person_may_ask_for_one() -> None:
    host = dataclasses.replace(GOOD, asked_for="tcg", runs_a_guest=_never)
    assert choose(host).accelerator is Accelerator.TCG


def test_an_unknown_accelerator_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"LLMOS_VM_ACCEL: unknown .*'xen' \(one of: kvm, tcg\)"):
        choose(dataclasses.replace(GOOD, asked_for="xen"))


@pytest.mark.parametrize(
    ("script", "ran"),
    [
        pytest.param("exit 85", True, id="says-what-the-guest-code-says"),
        pytest.param("exit 0", False, id="ends-well-but-without-the-sign"),
        pytest.param("echo 'failed to set MSR' >&2; exit 134", False, id="aborts"),
    ],
)
def test_only_the_sign_of_the_trial_guest_counts(
    toolbox: ScriptedToolbox, script: str, ran: bool
) -> None:
    toolbox.program("qemu-system-x86_64", script)
    assert runs_a_guest(toolbox, Accelerator.KVM) is ran
