"""The table of families against its own examples, and its form."""

import re

import pytest

from llmos_api.hardware import Stack
from llmos_runtime.hardware.available import ICD_OF, NvidiaModule
from llmos_runtime.hardware.nvidia import may_drive
from llmos_runtime.hardware.table import FAMILIES, Family, default_table
from tests.unit.runtime.machines import LISTINGS

TABLE = default_table()


def ids(example: str) -> tuple[int, int]:
    match = re.match(r"([0-9a-f]{4}):([0-9a-f]{4}) \S", example)
    assert match, f"{example!r}: vendor:device and a name"
    return int(match[1], 16), int(match[2], 16)


@pytest.mark.parametrize("family", TABLE.families, ids=lambda f: f.name)
def test_a_family_has_its_examples_and_not_its_neighbours(family: Family) -> None:
    assert family.match
    assert family.not_match
    for example in family.match:
        assert TABLE.family_of_id(*ids(example)) is family, example
    for example in family.not_match:
        assert TABLE.family_of_id(*ids(example)) is not family, example


@pytest.mark.parametrize("family", TABLE.families, ids=lambda f: f.name)
def test_a_family_has_stacks_or_says_why_not(family: Family) -> None:
    assert bool(family.stacks) != bool(family.why)
    assert all(driver in ICD_OF for drivers in family.stacks.values() for driver in drivers)
    assert Stack.CPU not in family.stacks
    if family.drivers(Stack.ROCM):
        assert re.fullmatch(r"gfx[0-9a-f]+", family.target)
    if family.drivers(Stack.CUDA):
        assert family.module in {"nvidia-open", "nvidia"}
        assert TABLE.has_code(Stack.CUDA, family)


def test_every_card_of_nvidias_own_lists_gets_its_module() -> None:
    """Debian's driver: what it supports, and where its open modules are finished."""
    _, supported, finished = re.split(r"(?m)^#.*$", (LISTINGS / "nvidia-550.ids").read_text())
    for number in supported.split():
        family = TABLE.family_of_id(0x10DE, int(number, 16))
        assert may_drive(family, NvidiaModule("nvidia", "550.163.01")), number
    for number in finished.split():
        family = TABLE.family_of_id(0x10DE, int(number, 16))
        assert may_drive(family, NvidiaModule("nvidia-open", "550.163.01")), number


def test_names_are_given_once() -> None:
    names = [family.name for family in TABLE.families]
    assert len(names) == len(set(names))


def test_rocm_is_only_for_what_its_back_end_was_compiled_for() -> None:
    with_code = {f.target for f in TABLE.families if TABLE.has_code(Stack.ROCM, f)}
    assert with_code == set(TABLE.built_for.rocm)


def test_the_table_is_read_by_people_too() -> None:
    assert max(len(line) for line in FAMILIES.read_text().splitlines()) <= 100
