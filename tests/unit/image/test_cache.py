"""Work is done once, appears whole, and survives being cut off."""

import threading
from pathlib import Path

import pytest

from llmos_image.cache import Cache, default_root, key_of
from llmos_image.errors import BuildFailed


def test_work_is_done_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("x")

    first = cache.get("kind", {"a": 1}, what="it", make=make)
    second = cache.get("kind", {"a": 1}, what="it", make=make)
    assert first == second
    assert (first.content / "file").read_text() == "x"
    assert len(made) == 1


def test_other_parts_are_other_work(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    one = cache.get("kind", {"a": 1}, what="it", make=lambda _folder: None)
    two = cache.get("kind", {"a": 2}, what="it", make=lambda _folder: None)
    assert one.path != two.path


def test_the_order_of_parts_does_not_count() -> None:
    assert key_of({"a": 1, "b": [1, 2]}) == key_of({"b": [1, 2], "a": 1})


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failed_work_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    cache = Cache(tmp_path)

    def make(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise error

    with pytest.raises(BuildFailed if isinstance(error, OSError) else KeyboardInterrupt):
        cache.get("kind", {}, what="it", make=make)
    assert not list((tmp_path / "kind").iterdir())
    assert cache.get("kind", {}, what="it", make=lambda _folder: None).what == "it"


def test_a_full_disk_says_how_much_is_free_and_what_to_do(tmp_path: Path) -> None:
    def make(_folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(BuildFailed, match="No space left") as caught:
        Cache(tmp_path).get("kind", {}, what="the tools", make=make)
    assert "LLMOS_CACHE" in str(caught.value)


def test_what_a_killed_build_left_is_made_anew(tmp_path: Path) -> None:
    partial = tmp_path / "kind" / f".partial-{key_of({})}" / "content"
    partial.mkdir(parents=True)
    (partial / "half").write_text("x")
    entry = Cache(tmp_path).get("kind", {}, what="it", make=lambda _folder: None)
    assert not list(entry.content.iterdir())


def test_two_builds_do_the_work_once(tmp_path: Path) -> None:
    begun = threading.Event()
    made: list[int] = []

    def make(_folder: Path) -> None:
        made.append(1)
        begun.wait(5)

    def get() -> None:
        Cache(tmp_path).get("kind", {}, what="it", make=make)

    threads = [threading.Thread(target=get) for _ in range(2)]
    for thread in threads:
        thread.start()
    begun.set()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_entries_are_listed_and_cleaned_by_kind(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.get("one", {}, what="first", make=lambda folder: None)
    cache.get("two", {}, what="second", make=lambda folder: None)
    assert [entry.what for entry in cache.entries()] == ["first", "second"]
    assert cache.clean(frozenset({"one"})) > 0
    assert [entry.what for entry in cache.entries()] == ["second"]
    cache.clean()
    assert list(cache.entries()) == []


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildFailed, match="LLMOS_CACHE"):
        Cache(tmp_path / "file").get("kind", {}, what="it", make=lambda folder: None)


def test_the_environment_names_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLMOS_CACHE", str(tmp_path))
    assert default_root() == tmp_path
