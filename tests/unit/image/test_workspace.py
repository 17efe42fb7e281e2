"""Where a build works, and what is left of builds that died."""

import fcntl
import os
from pathlib import Path

import pytest

from llmos_image import workspace as module
from llmos_image.errors import UserError
from llmos_image.workspace import workspace


@pytest.fixture(autouse=True)
def _memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMOS_WORK", raising=False)
    monkeypatch.setattr(module, "MEMORY", tmp_path / "memory")
    monkeypatch.setattr(module, "_REST_BYTES", 0)
    (tmp_path / "memory").mkdir()


def test_it_is_in_memory_if_that_has_room(tmp_path: Path) -> None:
    with workspace(tmp_path / "cache", need=1) as work:
        assert work.parent == tmp_path / "memory" / f"llmos-{os.getuid()}"
    assert not work.exists()


@pytest.mark.parametrize("need", [None, 2**60])
def test_it_is_in_the_cache_otherwise(tmp_path: Path, need: int | None) -> None:
    with workspace(tmp_path / "cache", need) as work:
        assert work.parent == tmp_path / "cache" / "work"
    assert not work.exists()


def test_a_machine_without_shared_memory_has_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEMORY", tmp_path / "absent")
    with workspace(tmp_path / "cache", need=1) as work:
        assert work.parent == tmp_path / "cache" / "work"


def test_what_the_rest_of_the_machine_needs_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REST_BYTES", 2**60)
    with workspace(tmp_path / "cache", need=1) as work:
        assert work.parent == tmp_path / "cache" / "work"


def test_a_person_can_name_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_WORK", str(tmp_path / "mine"))
    with workspace(tmp_path / "cache", need=1) as work:
        assert work.parent == tmp_path / "mine"
    assert not work.exists()


def test_a_place_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLMOS_WORK", str(tmp_path / "file" / "below"))
    with pytest.raises(UserError, match="below"), workspace(tmp_path / "cache"):
        pass


def test_a_link_that_somebody_put_into_memory_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (tmp_path / "memory" / f"llmos-{os.getuid()}").symlink_to(elsewhere)
    with workspace(tmp_path / "cache", need=1) as work:
        assert work.parent == tmp_path / "cache" / "work"
    assert [path.name for path in elsewhere.iterdir()] == ["precious"]


@pytest.mark.parametrize("place", ["memory", "cache"])
def test_what_a_dead_build_left_is_removed_wherever_it_was(tmp_path: Path, place: str) -> None:
    folder = {"memory": tmp_path / "memory" / f"llmos-{os.getuid()}", "cache": tmp_path / "work"}
    dead, alive = folder[place] / "dead", folder[place] / "alive"
    for work in (dead, alive):
        work.mkdir(parents=True)
        (work / "lock").touch()
    with (alive / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with workspace(tmp_path, need=None):
            assert not dead.exists()
            assert alive.exists()
