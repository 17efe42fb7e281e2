"""Which model makes room, and how much memory there is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_engine.memory import RESERVE, Machine, human
from llmos_engine.residency import STAYS, Resident, could_ever_fit, to_end
from llmos_engine.scheduling.request import Priority

NOW = 1000.0
MIB = 1024**2

RESIDENTS = st.lists(
    st.builds(
        Resident,
        name=st.uuids().map(str),
        size=st.integers(1, 100),
        idle_since=st.none() | st.floats(0, NOW),
        ready_since=st.floats(0, NOW),
        load_seconds=st.floats(0, 60),
        urgency=st.sampled_from(Priority),
    ),
    max_size=8,
)


@given(RESIDENTS, st.integers(0, 500), st.integers(0, 300))
def test_who_is_ended_makes_room_and_nobody_for_nothing(
    residents: list[Resident], need: int, room: int
) -> None:
    chosen = to_end(residents, need=need, room=room, now=NOW)
    may_go = [one for one in residents if one.may_go(NOW)]
    if chosen is None:
        assert sum(one.size for one in may_go) + room < need
        return
    assert all(one in may_go for one in chosen)
    freed = sum(one.size for one in chosen)
    assert room + freed >= need
    for one in chosen:
        assert room + freed - one.size < need, "it could have stayed"
    assert could_ever_fit(residents, need=need, room=room)


def resident(name: str, **facts: object) -> Resident:
    usual: dict[str, object] = {
        "size": 10,
        "idle_since": NOW - 60,
        "ready_since": 0.0,
        "load_seconds": 5.0,
    }
    return Resident(name, **(usual | facts))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "goes",
    [
        resident("idle for longer", idle_since=NOW - 600),
        resident("loaded again soon", load_seconds=1.0),
        resident("asked in batches", urgency=Priority.BATCH),
        resident("large", size=100),
    ],
)
def test_what_is_worth_least_goes_first(goes: Resident) -> None:
    for order in ([resident("stays"), goes], [goes, resident("stays")]):
        assert to_end(order, need=5, room=0, now=NOW) == [goes]


def test_two_that_are_asked_in_turn_do_not_only_load() -> None:
    fresh = resident("fresh", ready_since=NOW - STAYS / 2, idle_since=NOW)
    assert to_end([fresh], need=5, room=0, now=NOW) is None
    assert to_end([fresh], need=5, room=0, now=NOW + STAYS) == [fresh]


def test_what_works_is_never_ended() -> None:
    busy = resident("busy", idle_since=None)
    assert to_end([busy], need=5, room=0, now=NOW) is None
    assert could_ever_fit([busy], need=10, room=0)
    assert not could_ever_fit([busy], need=11, room=0)


def machine(folder: Path, groups: dict[str, dict[str, str]], own: str = "/a/b") -> Machine:
    proc, cgroups = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:     1048576 kB\n")
    (proc / "self/cgroup").write_text(f"1:name=old:/x\n0::{own}\n")
    for name, files in groups.items():
        (cgroups / name).mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (cgroups / name / f"memory.{file}").write_text(text + "\n")
    return Machine(proc, cgroups)


def test_the_machine_decides_where_no_group_does(tmp_path: Path) -> None:
    unlimited = {"max": "max", "high": "max", "current": "5", "stat": "anon 1"}
    assert machine(tmp_path, {"a/b": unlimited}).available() == 1024 * MIB - RESERVE


@pytest.mark.parametrize("limit", ["max", "high"])
@pytest.mark.parametrize("group", ["a", "a/b"])
def test_the_narrowest_group_decides(tmp_path: Path, limit: str, group: str) -> None:
    files = {
        limit: str(500 * MIB),
        "current": str(300 * MIB),
        "stat": f"anon 1\ninactive_file {60 * MIB}\nactive_file {40 * MIB}",
    }
    assert machine(tmp_path, {group: files}).available() == 300 * MIB - RESERVE


def test_there_is_never_less_than_nothing(tmp_path: Path) -> None:
    files = {"max": "10", "current": "9", "stat": "anon 9"}
    assert machine(tmp_path, {"a": files}).available() == 0


def test_a_process_in_the_root_group_has_the_machine(tmp_path: Path) -> None:
    assert machine(tmp_path, {}, own="/").available() == 1024 * MIB - RESERVE


def test_this_machine_has_some() -> None:
    assert Machine().available() >= 0


def test_a_person_reads_units() -> None:
    assert (human(5_300_000_000), human(12_345_678)) == ("5.3 GB", "12 MB")
