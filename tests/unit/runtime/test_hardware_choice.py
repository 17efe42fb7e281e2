"""From what is plugged into a machine to what its engine computes with."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_api.hardware import Outcome, Stack
from llmos_runtime.hardware.available import Available
from llmos_runtime.hardware.choice import Choice, choose
from llmos_runtime.hardware.pci import PciCard, cards_of
from llmos_runtime.hardware.table import default_table
from tests.unit.runtime.machines import IMAGES, MESA, Machine, machines, write_sysfs

MACHINES = {machine.name: machine for machine in machines()}
CASES = [(name, image) for name, machine in MACHINES.items() for image in machine.choices]


def chosen(machine: Machine, image: str, root: Path, **more: object) -> Choice:
    write_sysfs(machine, IMAGES[image], root)
    return choose(cards_of(root), IMAGES[image], default_table(), **more)  # type: ignore[arg-type]


def reason(choice: Choice, stack: Stack) -> str:
    return next(step.reason for step in choice.steps if step.stack is stack)


def test_there_are_machines_of_every_kind() -> None:
    assert len(MACHINES) >= 30
    kinds = {name.split("-")[0] for name in MACHINES}
    assert kinds >= {"laptop", "desktop", "server", "cloud", "vm", "egpu"}


@pytest.mark.parametrize(("name", "image"), CASES)
def test_a_machine_gets_its_best_stack(name: str, image: str, tmp_path: Path) -> None:
    choice = chosen(MACHINES[name], image, tmp_path)
    assert (choice.stack, tuple(c.slot for c in choice.cards)) == MACHINES[name].choices[image]
    assert [step.stack for step in choice.steps] == list(Stack)
    assert all(step.reason for step in choice.steps)
    assert choice.notice == ""


def test_every_step_says_why(tmp_path: Path) -> None:
    choice = chosen(MACHINES["desktop-rx9070xt"], "full", tmp_path)
    card = "0000:03:00.0 (AMD Navi 44, Navi 48)"
    assert {step.stack: (step.outcome, step.reason) for step in choice.steps} == {
        Stack.CUDA: (Outcome.UNFIT, "no card here can use it"),
        Stack.ROCM: (Outcome.UNFIT, f"{card}: the back end of ROCm has no code for gfx1201"),
        Stack.VULKAN: (Outcome.CHOSEN, f"{card} is with the kernel driver amdgpu"),
        Stack.CPU: (Outcome.NOT_NEEDED, "Vulkan is better"),
    }


@pytest.mark.parametrize(
    ("name", "image", "stack", "why"),
    [
        (
            "desktop-rtx5090",
            "full",
            Stack.CUDA,
            "needs nvidia-open 570 or newer, and the image has 550",
        ),
        ("desktop-rtx5090", "proprietary", Stack.CUDA, "needs the kernel module nvidia-open"),
        (
            "desktop-gtx1080",
            "full",
            Stack.CUDA,
            "needs the kernel module nvidia, and the image has",
        ),
        ("desktop-gtx1080", "base", Stack.CUDA, "the back end of CUDA is not installed"),
        ("desktop-gtx1080", "base", Stack.VULKAN, "no kernel module nvidia (it is with nouveau)"),
        ("server-k80", "full", Stack.CUDA, "too old"),
        ("laptop-thinkpad-t440", "base", Stack.VULKAN, "16-bit storage"),
        (
            "desktop-hd7970-radeon",
            "base",
            Stack.VULKAN,
            "with the kernel driver radeon, not with amdgpu",
        ),
        ("desktop-no-graphics", "base", Stack.VULKAN, "there is no graphics or AI processor"),
        ("server-mi300x", "full", Stack.ROCM, "no code for gfx942"),
        ("server-tenstorrent", "full", Stack.VULKAN, "does not know it"),
        ("cloud-aws-g4dn", "cloud", Stack.VULKAN, "the back end of Vulkan is not installed"),
        ("vm-vmware", "base", Stack.VULKAN, "only shows a screen"),
    ],
)
def test_what_is_in_the_way_is_named(
    name: str, image: str, stack: Stack, why: str, tmp_path: Path
) -> None:
    assert why in reason(chosen(MACHINES[name], image, tmp_path), stack)


def test_a_stack_that_failed_is_stepped_over_and_the_person_is_told(tmp_path: Path) -> None:
    failures = {Stack.CUDA: "the engine hung"}
    choice = chosen(MACHINES["desktop-rtx4090"], "full", tmp_path, failures=failures)
    assert choice.stack is Stack.VULKAN
    assert choice.notice == (
        "CUDA failed (the engine hung): the model runs with Vulkan until the next start."
    )


def test_a_person_can_ask_for_less(tmp_path: Path) -> None:
    choice = chosen(MACHINES["desktop-rtx4090"], "full", tmp_path, wanted=Stack.CPU)
    assert choice.stack is Stack.CPU
    assert reason(choice, Stack.CUDA) == "llmos.stack=cpu was asked for"
    assert choice.notice == ""


def test_a_wish_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    choice = chosen(MACHINES["vm-qemu-std"], "cloud", tmp_path, wanted=Stack.VULKAN)
    assert choice.stack is Stack.CPU
    assert choice.notice.startswith("llmos.stack=vulkan cannot be had")


def test_software_vulkan_is_only_for_those_who_ask(tmp_path: Path) -> None:
    choice = chosen(MACHINES["vm-qemu-std"], "base", tmp_path, wanted=Stack.VULKAN)
    assert (choice.stack, choice.software) == (Stack.VULKAN, True)
    again = choose(
        cards_of(tmp_path),
        MESA,
        default_table(),
        wanted=Stack.VULKAN,
        failures={Stack.VULKAN: "the engine crashed"},
    )
    assert again.stack is Stack.CPU


_failures = st.dictionaries(st.sampled_from(Stack), st.just("the engine crashed"))
_ids = st.sampled_from([0x10DE, 0x1002, 0x8086, 0x1AF4, 0x1234]) | st.integers(0, 0xFFFF)
_drivers = st.none() | st.sampled_from(["nvidia", "nouveau", "amdgpu", "radeon", "i915", "xe"])
_cards = st.builds(
    PciCard,
    slot=st.integers(0, 255).map("0000:{:02x}:00.0".format),
    device_class=st.sampled_from([0x0300, 0x0302, 0x0380, 0x1200]),
    vendor=_ids,
    device=st.integers(0, 0xFFFF),
    driver=_drivers,
    nodes=st.sampled_from([(), ("/dev/dri/card0", "/dev/dri/renderD128")]),
)


@given(
    st.lists(_cards, max_size=4),
    st.sampled_from(list(IMAGES.values())),
    _failures,
    st.none() | st.sampled_from(Stack),
)
def test_any_failures_lead_down_the_ladder(
    cards: list[PciCard], image: Available, failures: dict[Stack, str], wanted: Stack | None
) -> None:
    ladder = list(Stack)
    free = choose(cards, image, default_table(), wanted=wanted)
    choice = choose(cards, image, default_table(), failures=failures, wanted=wanted)
    assert ladder.index(choice.stack) >= ladder.index(free.stack)
    assert choice.stack is Stack.CPU or choice.stack not in failures
    assert bool(choice.notice) or choice.stack is free.stack
    assert sum(step.outcome is Outcome.CHOSEN for step in choice.steps) == 1


@given(st.lists(_cards, max_size=4), st.sampled_from(list(IMAGES.values())))
def test_failing_again_and_again_ends_at_the_cpu(cards: list[PciCard], image: Available) -> None:
    failures: dict[Stack, str] = {}
    for _ in Stack:
        choice = choose(cards, image, default_table(), failures=failures)
        failures[choice.stack] = "the engine crashed"
    assert choice.stack is Stack.CPU
