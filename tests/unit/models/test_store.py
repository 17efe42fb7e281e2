"""What the store takes in, shows, gives away and finds damaged."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_models.change import Change, World, changing
from llmos_models.contents import Kind
from llmos_models.disk import Disk
from llmos_models.errors import (
    BadAsk,
    FormatError,
    ModelError,
    NoSpace,
    StoreBusy,
    TransferFailed,
)
from llmos_models.local import local_offer
from llmos_models.manifest import Manifest
from llmos_models.meter import Silent
from llmos_models.partial import Partial
from llmos_models.scan import Scanner
from llmos_models.scrub import scrub
from llmos_models.store import Origin, Store
from tests.unit.models.gguf_file import Metadata, tiny_model
from tests.unit.models.model_files import damage, digest, safetensors, write_folder, write_gguf


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "shipped").mkdir()
    return Store(tmp_path / "store", shipped=tmp_path / "shipped")


@pytest.fixture
def change(store: Store) -> Iterator[Change]:
    with changing(store) as change:
        yield change


def take(change: Change, path: Path, name: str | None = None, *, replace: bool = False) -> Manifest:
    return change.add(local_offer(path, name=name), Silent(), replace=replace)


def seen(store: Store) -> list[str]:
    """What the engine sees."""
    return sorted(Scanner([store.folder]).scan().models)


def test_a_model_is_kept_under_its_digest_and_seen_by_its_name(
    store: Store, change: Change, tmp_path: Path
) -> None:
    path = write_gguf(tmp_path / "Poet-1B.Q4_K_M.gguf")
    manifest = take(change, path, "poet")
    blob = store.blob(digest(path))
    assert blob.read_bytes() == path.read_bytes()
    assert stat.S_IMODE(blob.stat().st_mode) == 0o444
    assert store.link("poet").readlink() == Path("blobs") / blob.name
    assert seen(store) == ["poet"]
    assert manifest.files[0].path == path.name
    assert (manifest.facts.architecture, manifest.facts.quantisation) == ("llama", "Q4_K_M")
    assert (manifest.facts.licence, manifest.facts.parameters) == ("mit", 28928)
    assert not list(store.partial.iterdir())


def test_the_same_content_is_kept_once(store: Store, change: Change, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf")
    take(change, path)
    take(change, path, "b")
    assert len(list(store.blobs.iterdir())) == 1
    assert seen(store) == ["a", "b"]
    assert change.remove("a") == 0
    assert seen(store) == ["b"]
    assert change.remove("b") == path.stat().st_size


def test_a_name_that_is_taken_is_refused_unless_it_is_to_be_replaced(
    store: Store, change: Change, tmp_path: Path
) -> None:
    first, second = write_gguf(tmp_path / "1/m.gguf"), write_gguf(tmp_path / "2/m.gguf", seed=2)
    take(change, first)
    take(change, first)  # the same again is no conflict
    with pytest.raises(BadAsk, match="another model m"):
        take(change, second)
    assert Scanner([store.folder]).scan().models["m"].path.read_bytes() == first.read_bytes()
    change.pin("m", pinned=True)
    manifest = take(change, second, replace=True)
    assert manifest.pinned
    assert [path.name for path in store.blobs.iterdir()] == [f"sha256-{digest(second)}"]


def test_a_safetensors_model_is_a_folder_of_links_without_code(
    store: Store, change: Change, tmp_path: Path
) -> None:
    offer = local_offer(write_folder(tmp_path / "mine"))
    assert offer.left_out == ("modeling_custom.py",)
    manifest = change.add(offer, Silent())
    folder = store.folder / "mine"
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert all(path.is_symlink() and path.exists() for path in folder.iterdir())
    assert manifest.kind is Kind.SAFETENSORS
    assert (manifest.facts.architecture, manifest.facts.parameters) == ("llama", 8)
    assert not seen(store)
    with pytest.raises(BadAsk, match="GGUF only"):
        change.make_default("mine")
    change.add(local_offer(write_folder(tmp_path / "mine", data=b"x" * 16)), Silent(), replace=True)
    assert (folder / "model.safetensors").read_bytes().endswith(b"x" * 16)
    change.remove("mine")
    assert not folder.exists()
    assert not list(store.blobs.iterdir())


@pytest.mark.parametrize(
    "name", ["", "..", "a/b", ".hidden", "default", "blobs", "x.gguf", "a b", "x" * 101, "é"]
)
def test_impossible_names_are_refused(change: Change, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadAsk, match="no name for a model"):
        change.add(local_offer(write_gguf(tmp_path / "a.gguf"), name=name or "-"), Silent())


def test_what_was_put_there_by_hand_is_left_alone(
    store: Store, change: Change, tmp_path: Path
) -> None:
    write_gguf(store.folder / "mine.gguf")
    with pytest.raises(BadAsk, match="not of the store"):
        take(change, write_gguf(tmp_path / "mine.gguf", seed=2))
    with pytest.raises(BadAsk, match="put there by hand"):
        change.remove("mine")
    change.settle()
    assert seen(store) == ["mine"]
    assert [(one.name, one.origin) for one in store.listed()] == [("mine", Origin.BY_HAND)]


@pytest.mark.parametrize("name", ["m.bin", "m.PT", "m.pkl", "m.ckpt"])
def test_a_pickle_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(FormatError, match="is a pickle"):
        local_offer(tmp_path / name)


@pytest.mark.parametrize("start", [b"\x80\x02", b"\x80\x05", b"PK\x03\x04"])
def test_a_pickle_is_refused_by_what_is_inside(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "m.gguf").write_bytes(start + bytes(100))
    with pytest.raises(FormatError, match=r"m\.gguf: is a pickle"):
        local_offer(tmp_path / "m.gguf")
    folder = write_folder(tmp_path / "m")
    (folder / "tokenizer.model").write_bytes(start + bytes(100))
    with pytest.raises(FormatError, match=r"tokenizer\.model: is a pickle"):
        local_offer(folder)


def test_a_folder_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    with pytest.raises(FormatError, match="no GGUF and no safetensors"):
        local_offer(folder)
    (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(FormatError, match=r"only pytorch_model\.bin: pickles"):
        local_offer(folder)
    write_gguf(folder / "a.gguf")
    assert local_offer(folder).name == "a"
    write_gguf(folder / "b.gguf")
    with pytest.raises(BadAsk, match=r"2 GGUF files: name one of a\.gguf, b\.gguf"):
        local_offer(folder)
    (folder / "model.safetensors").write_bytes(safetensors())
    with pytest.raises(FormatError, match=r"no config\.json"):
        local_offer(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(FormatError, match=r"config\.json: is no JSON object"):
        local_offer(folder)


def test_one_part_of_several_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m-00001-of-00003.gguf")
    with pytest.raises(FormatError, match="one part") as caught:
        local_offer(path)
    assert "--merge" in str(caught.value.hint)


def test_a_damaged_file_leaves_nothing_behind(store: Store, change: Change, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    offer = local_offer(path)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    damage(path)
    with path.open("r+b") as file:
        file.write(b"GGML")
    with pytest.raises(FormatError, match=r"m\.gguf: is not a GGUF file"):
        change.add(offer, Silent())
    assert not [*store.blobs.iterdir(), *store.partial.iterdir(), *store.manifests.iterdir()]


def test_a_digest_that_does_not_fit_is_told_with_both(
    store: Store, change: Change, tmp_path: Path
) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    with pytest.raises(TransferFailed, match=f"sha256 {digest(path)}, not {'0' * 64}"):
        change.add(local_offer(path, sha256="0" * 64), Silent())
    assert not list(store.partial.iterdir())
    change.add(local_offer(path, sha256=digest(path).upper()), Silent())
    assert seen(store) == ["m"]


def test_pinned_and_default_models_stay_unless_forced(
    store: Store, change: Change, tmp_path: Path
) -> None:
    take(change, write_gguf(tmp_path / "m.gguf"))
    change.pin("m", pinned=True)
    with pytest.raises(BadAsk, match="pinned"):
        change.remove("m")
    change.pin("m", pinned=False)
    change.make_default("m")
    with pytest.raises(BadAsk, match="the default"):
        change.remove("m")
    change.remove("m", force=True)
    assert not os.path.lexists(store.default)
    with pytest.raises(BadAsk, match=r"no model 'm' \(there are: none\)"):
        change.remove("m")


def test_the_default_may_be_a_shipped_model(store: Store, change: Change, tmp_path: Path) -> None:
    write_gguf(store.shipped / "big.gguf")
    write_gguf(store.shipped / "small.gguf", seed=2)
    (store.shipped / "default.gguf").symlink_to("small.gguf")
    take(change, write_gguf(tmp_path / "mine.gguf", seed=3))
    for name in ("mine", "big", "small"):
        change.make_default(name)
        assert store.default_name() == name
    assert not os.path.lexists(store.default)
    with pytest.raises(BadAsk, match="part of the system"):
        change.remove("big")
    with pytest.raises(BadAsk, match="is a shipped model"):
        take(change, write_gguf(tmp_path / "big.gguf", seed=4))
    with pytest.raises(BadAsk, match="no model 'none'"):
        change.make_default("none")


def test_a_model_that_came_by_an_update_is_left_alone(
    store: Store, change: Change, tmp_path: Path
) -> None:
    write_gguf(store.shipped / "plan.gguf")
    (store.shipped / "default.gguf").symlink_to("plan.gguf")
    write_gguf(store.updates / "plan_0.2.0.gguf", seed=2)
    store.link("plan").symlink_to("../model-versions/plan_0.2.0.gguf")
    take(change, write_gguf(tmp_path / "mine.gguf", seed=3))
    change.make_default("mine")
    change.make_default("plan")
    change.settle()
    found = {one.name: one for one in store.listed()}
    assert found["plan"].origin is Origin.UPDATE
    assert found["plan"].is_default
    assert not os.path.lexists(store.default)
    with pytest.raises(BadAsk, match="kept up to date with the system"):
        change.remove("plan")
    with pytest.raises(BadAsk, match="not of the store"):
        take(change, write_gguf(tmp_path / "plan.gguf", seed=4))


def test_a_default_that_is_a_file_is_not_thrown_away(
    store: Store, change: Change, tmp_path: Path
) -> None:
    write_gguf(store.default)
    take(change, write_gguf(tmp_path / "m.gguf", seed=2))
    with pytest.raises(BadAsk, match="put there by hand"):
        change.make_default("m")


def test_a_damaged_blob_goes_to_the_quarantine_with_all_who_use_it(
    store: Store, change: Change, tmp_path: Path
) -> None:
    path = write_gguf(tmp_path / "a.gguf")
    take(change, path)
    take(change, path, "b")
    take(change, write_gguf(tmp_path / "c.gguf", seed=2))
    change.make_default("a")
    damage(store.blob(digest(path)))
    assert seen(store) == ["a", "b", "c"]
    report = scrub(change, None, Silent())
    (found,) = report.damages
    assert found.models == ("a", "b")
    assert found.quarantine == store.quarantine / f"sha256-{digest(path)}"
    assert found.quarantine.exists()
    assert report.models == ["c"]
    assert seen(store) == ["c"]
    assert [one.name for one in store.listed() if one.fault] == ["a", "b"]
    # What brings it back is the same as what brought it; it is the default again, too.
    take(change, path)
    change.settle()
    assert seen(store) == ["a", "b", "c"]
    assert store.default_name() == "a"
    assert not list(store.quarantine.iterdir())
    assert scrub(change, None, Silent()).is_sound


def test_a_scrub_of_one_model_leaves_the_others(
    store: Store, change: Change, tmp_path: Path
) -> None:
    for seed, name in enumerate("ab"):
        take(change, write_gguf(tmp_path / f"{name}.gguf", seed=seed))
        damage(store.blob(store.get(name).files[0].sha256))
    assert [one.models for one in scrub(change, ["a"], Silent()).damages] == [("a",)]
    assert seen(store) == ["b"]
    with pytest.raises(BadAsk, match="no model 'z'"):
        scrub(change, ["z"], Silent())


def test_a_blob_that_is_gone_or_short_is_named(
    store: Store, change: Change, tmp_path: Path
) -> None:
    take(change, write_gguf(tmp_path / "m.gguf"))
    blob = store.blob(store.get("m").files[0].sha256)
    os.truncate(blob, 1000)
    change.settle()
    assert not seen(store)  # already before anybody reads it
    assert scrub(change, None, Silent()).damages[0].quarantine
    (again,) = scrub(change, None, Silent()).damages
    assert again.quarantine is None
    assert "is gone" in again.text


def test_a_manifest_that_is_none_is_named_and_its_blobs_stay(
    store: Store, change: Change, tmp_path: Path
) -> None:
    take(change, write_gguf(tmp_path / "m.gguf"))
    take(change, write_gguf(tmp_path / "n.gguf", seed=2))
    store.manifest_path("m").write_text('{"name": "m"}')
    report = scrub(change, None, Silent())
    assert str(store.manifest_path("m")) in report.faults[0]
    assert len(list(store.blobs.iterdir())) == 2
    assert seen(store) == ["m", "n"]
    assert change.remove("n") == 0
    with pytest.raises(ModelError, match="is no manifest"):
        change.remove("m")
    change.remove("m", force=True)
    assert not list(store.blobs.iterdir())


@pytest.mark.parametrize("path", ["../../etc/shadow", ".hidden", "a/b", ""])
def test_a_manifest_cannot_lead_out_of_its_folder(store: Store, change: Change, path: str) -> None:
    store.manifest_path("m").write_text(
        f'{{"name": "m", "kind": "safetensors", "source": "", "facts": {{}}, "files": '
        f'[{{"path": "{path}", "sha256": "{"0" * 64}", "size": 1}}], '
        '"imported": "2026-01-01T00:00:00Z", "verified": "2026-01-01T00:00:00Z"}'
    )
    with pytest.raises(ModelError, match=r"files\[0\]\.path"):
        store.get("m")


def test_there_is_one_writer_at_a_time(store: Store, change: Change) -> None:
    with pytest.raises(StoreBusy, match=f"process {os.getpid()}"), changing(store):
        pass


class SmallDisk(Disk):
    """Has so many bytes free."""

    def __init__(self, free: int) -> None:
        self._free = free

    def free(self, folder: Path) -> int:
        return self._free


def test_what_does_not_fit_is_refused_before_it_is_begun(store: Store, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    with (
        changing(store, World(disk=SmallDisk(256 * 1024**2 + 1000))) as change,
        pytest.raises(NoSpace, match=r"m needs 0\.00 GB more, .* has 0\.27 GB free"),
    ):
        take(change, path)
    assert not list(store.partial.iterdir())


def test_a_disk_that_is_full_in_the_middle_is_told(tmp_path: Path) -> None:
    with Partial(tmp_path / "p", name="m.gguf", advance=lambda _: None) as partial:
        partial.write(b"begins")
        with Path("/dev/full").open("r+b", buffering=0) as full:
            partial._file.close()
            partial._file = full
            with pytest.raises(NoSpace, match=r"m\.gguf: the disk is full after 6 bytes"):
                partial.write(b"goes on")


def test_two_files_with_the_same_content_are_one_blob(
    store: Store, change: Change, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "generation_config.json").write_bytes((folder / "tokenizer.json").read_bytes())
    assert len(take(change, folder).files) == 4
    assert len(list(store.blobs.iterdir())) == 3
    assert scrub(change, None, Silent()).is_sound


def test_the_lock_is_for_nobody_else(store: Store, change: Change) -> None:
    assert stat.S_IMODE((store.folder / ".lock").stat().st_mode) == 0o600


def test_words_of_a_file_cannot_speak_to_the_terminal(
    store: Store, change: Change, tmp_path: Path
) -> None:
    extra: dict[str, Metadata] = {"general.license": "mit\x1b[2J\n", "general.architecture": "\x07"}
    manifest = take(change, tiny_model(extra=extra).write(tmp_path / "m.gguf"))
    assert (manifest.facts.licence, manifest.facts.architecture) == ("mit\ufffd[2J\ufffd", "\ufffd")


@pytest.mark.parametrize("name", [".x", "\x1b", "\udcff", "x" * 190 + "é" * 10])
def test_a_file_with_an_impossible_name_is_refused(
    change: Change, tmp_path: Path, name: str
) -> None:
    path = write_gguf(tmp_path / "x" / f"{name}.gguf")
    with pytest.raises(BadAsk, match="no name for a file"):
        take(change, path, "m")
