"""A writer may end anywhere: the next one finds the old state or the new one."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_models.change import Change, World, changing
from llmos_models.disk import Disk
from llmos_models.local import local_offer
from llmos_models.meter import Silent
from llmos_models.scan import Scanner
from llmos_models.scrub import scrub
from llmos_models.store import Store
from tests.unit.models.model_files import IN_MEMORY, damage, digest, write_folder, write_gguf


class PowerCut(BaseException):
    """Nothing of the process runs after it."""


class CutDisk(Disk):
    """Works for so many changes, and then never again."""

    def __init__(self, changes: int) -> None:
        self._left = changes

    def _spend(self) -> None:
        if self._left <= 0:
            raise PowerCut
        self._left -= 1

    def make_folder(self, path: Path) -> None:
        self._spend()
        super().make_folder(path)

    def write(self, path: Path, data: bytes) -> None:
        self._spend()
        # What is written under another name may be left, whole or in part.
        path.with_name(f".{path.name}.new").write_bytes(data[: len(data) // 2])
        super().write(path, data)

    def link(self, path: Path, target: str) -> None:
        self._spend()
        super().link(path, target)

    def move(self, path: Path, target: Path) -> None:
        self._spend()
        super().move(path, target)

    def remove(self, path: Path) -> None:
        self._spend()
        super().remove(path)


SOURCES = {
    "add": "1.gguf",
    "replace": "2.gguf",
    "folder": "folder1",
    "replace folder": "folder2",
}
OPERATIONS = (*SOURCES, "remove", "pin", "default", "scrub")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for seed in (1, 2):
        write_gguf(folder / f"{seed}.gguf", seed=seed)
        write_folder(folder / f"folder{seed}", data=bytes([seed]) * 16)
    return folder


def operate(change: Change, operation: str, sources: Path) -> None:
    store = change.store
    if operation in SOURCES:
        offer = local_offer(sources / SOURCES[operation], name="m")
        change.add(offer, Silent(), replace=True)
    elif operation == "scrub":
        scrub(change, None, Silent())
    elif "m" in store.names():
        match operation:
            case "remove":
                change.remove("m", force=True)
            case "pin":
                change.pin("m", pinned=True)
            case "default" if store.link("m").exists():
                change.make_default("m")


def state(store: Store) -> tuple[object, ...]:
    """What a person and the engine see."""
    catalogue = Scanner([store.folder]).scan()
    assert not catalogue.faults
    models = [
        (name, digest(file.path), catalogue.default == name)
        for name, file in catalogue.models.items()
    ]
    manifests = [(name, store.get(name).files, store.get(name).pinned) for name in store.names()]
    folders = [(path.relative_to(store.folder), digest(path)) for path in store.folder.glob("m/*")]
    default = store.default.readlink() if store.default.is_symlink() else None
    return tuple(models), tuple(manifests), tuple(sorted(folders)), default


def check_whole(store: Store) -> None:
    """No link leads nowhere, no blob is another's content, nothing half-made is left."""
    for blob in store.blobs.iterdir():
        assert blob.name == f"sha256-{digest(blob)}"
    for name in store.names():
        assert not store.missing(store.get(name))
    left = [path.name for path in store.folder.rglob(".*") if path.name != ".lock"]
    assert not left
    assert not list(store.partial.iterdir())


def cut_short(store: Store, operation: str, sources: Path, changes: int) -> bool:
    """Begin an operation, with so many changes before the power goes; whether it went."""
    try:
        with changing(store, World(disk=CutDisk(changes))) as change:
            operate(change, operation, sources)
    except PowerCut:
        # The engine may look at any moment, and sees sound models only.
        assert not Scanner([store.folder]).scan().faults
        return True
    return False


def prepared(folder: Path, before: Sequence[str], sources: Path) -> Store:
    store = Store(folder)
    with changing(store) as change:
        for earlier in before:
            operate(change, earlier, sources)
    return store


BEFORE: tuple[tuple[str, ...], ...] = ((), ("add", "pin", "default"), ("folder",))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("before", BEFORE, ids="-".join)
def test_a_power_cut_at_any_change_leaves_the_old_state_or_the_new(
    tmp_path: Path, sources: Path, before: tuple[str, ...], operation: str
) -> None:
    finished = prepared(tmp_path / "finished", before, sources)
    old = state(finished)
    with changing(finished) as change:
        operate(change, operation, sources)
    new = state(finished)
    for changes in range(100):
        store = prepared(tmp_path / str(changes), before, sources)
        if not cut_short(store, operation, sources, changes):
            break
        with changing(store):
            pass
        assert state(store) in {old, new}, changes
        check_whole(store)
        with changing(store) as change:
            operate(change, operation, sources)
        assert state(store) == new
    else:
        raise AssertionError("it does not end")


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(st.sampled_from(OPERATIONS), max_size=3),
    operation=st.sampled_from(OPERATIONS),
    changes=st.integers(0, 15),
    again=st.integers(0, 8),
)
def test_a_second_power_cut_while_the_first_is_put_in_order_changes_nothing(
    sources: Path, before: list[str], operation: str, changes: int, again: int
) -> None:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        store = prepared(Path(folder, "store"), before, sources)
        other = prepared(Path(folder, "other"), before, sources)
        old = state(store)
        with changing(other) as change:
            operate(change, operation, sources)
        cut_short(store, operation, sources, changes)
        cut_short(store, "nothing", sources, again)
        with changing(store):
            pass
        assert state(store) in {old, state(other)}
        check_whole(store)


@settings(max_examples=60, deadline=None)
@given(changes=st.integers(0, 20))
def test_a_power_cut_while_damage_is_put_aside_never_brings_it_back(
    sources: Path, changes: int
) -> None:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        store = Store(Path(folder))
        with changing(store) as change:
            operate(change, "add", sources)
        damage(store.blob(store.get("m").files[0].sha256))
        try:
            with changing(store, World(disk=CutDisk(changes))) as change:
                scrub(change, None, Silent())
        except PowerCut:
            pass
        with changing(store) as change:
            assert not scrub(change, None, Silent()).is_sound
        assert not Scanner([store.folder]).scan().models
        with changing(store) as change:
            operate(change, "add", sources)
        check_whole(store)
        assert not list(store.quarantine.iterdir())
