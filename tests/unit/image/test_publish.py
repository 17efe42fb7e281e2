"""A folder of updates: added to, never changed, and old versions go."""

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from llmos_image import artifacts, publish, signing, updates
from llmos_image.artifacts import Artifact
from llmos_image.cli import main
from llmos_image.errors import ImageError, UserError, VerifyFailed
from llmos_image.publish import Update
from llmos_image.spec import parse

UUIDS = {"1": "a" * 32, "2": "b" * 32}


def build(out: Path, version: str, content: str = "", root_hash: str = "") -> Artifact:
    """What a build leaves, as far as updates go."""
    name = f"x_{version}"
    partition = hashlib.sha256(f"{version}{content}".encode()).hexdigest()[:32]
    folder = out / name
    folder.mkdir(parents=True)
    roothash = (root_hash or partition).ljust(64, "0")
    (folder / f"{name}.efi").write_text(f"MZ quiet roothash={roothash}\0 {content}")
    (folder / f"{name}_{partition}.root.zst").write_text(f"root {content}")
    (folder / f"{name}_{'c' * 32}.verity.zst").write_text(f"verity {content}")
    (folder / f"x-cuda_{version}.raw").write_text("extension")
    (folder / f"{name}.raw").write_text("disk")
    spec = parse(f'[image]\nid = "x"\nversion = "{version}"\n', path=Path("x.toml"))
    artifacts.describe(folder, spec, packages=[], sizes={}, versions={})
    return artifacts.read(folder)


def unpack(source: Path, target: Path) -> None:
    target.write_text(f"unpacked {source.read_text()}")


def put(folder: Path, artifact: Artifact, keep: int = 3) -> publish.Report:
    return publish.publish(folder, updates.of_build(artifact, unpack), keep=keep, signer=None)


def state(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def versions_in(folder: Path) -> set[tuple[str, str]]:
    return {publish.component_of(name) for name in signing.verify_sums(folder)}


def test_a_builds_updates_are_listed_and_its_disk_is_not(tmp_path: Path) -> None:
    report = put(tmp_path / "www", build(tmp_path, "1"))
    assert [name.rpartition(".")[2] for name in report.added] == ["raw", "efi", "gz", "gz"]
    assert set(signing.verify_sums(tmp_path / "www")) == set(report.added)
    assert "x_1.raw" not in state(tmp_path / "www")
    assert all(p.stat().st_mode & 0o777 == 0o644 for p in (tmp_path / "www").glob("[!.]*"))


def test_partitions_are_packed_as_the_target_can_unpack_them(tmp_path: Path) -> None:
    """Its systemd has no zstd: it would write the packed bytes to the partition."""
    put(tmp_path / "www", build(tmp_path, "1", content="data"))
    (root,) = (tmp_path / "www").glob("*.root.gz")
    assert gzip.decompress(root.read_bytes()) == b"unpacked root data"
    assert not list((tmp_path / "www").glob(".partial*"))


def test_the_newest_versions_stay_and_older_ones_go(tmp_path: Path) -> None:
    for version in ("0.9", "0.10~rc1", "0.10", "0.2"):
        put(tmp_path / "www", build(tmp_path, version), keep=2)
    assert versions_in(tmp_path / "www") == {
        (component, version) for component in ("x", "x-cuda") for version in ("0.10", "0.10~rc1")
    }
    left = {name for name in state(tmp_path / "www") if name != signing.SUMS}
    assert left == set(signing.verify_sums(tmp_path / "www"))


def test_publishing_the_same_build_again_changes_nothing(tmp_path: Path) -> None:
    artifact = build(tmp_path, "1")
    put(tmp_path / "www", artifact)
    before = state(tmp_path / "www")
    assert put(tmp_path / "www", artifact).added == []
    assert state(tmp_path / "www") == before


@pytest.mark.parametrize("part", ["root", "efi"])
def test_a_published_version_never_gets_other_bytes(tmp_path: Path, part: str) -> None:
    put(tmp_path / "www", build(tmp_path, "1"))
    before = state(tmp_path / "www")
    if part == "root":
        other = build(tmp_path / "other", "1", content="other")
    else:
        other = build(tmp_path / "other", "1")
        efi = other.folder / "x_1.efi"
        efi.write_text(efi.read_text() + "more")
    with pytest.raises(UserError, match="has x 1 already, with other bytes"):
        put(tmp_path / "www", other)
    assert state(tmp_path / "www") == before


def test_a_build_that_was_changed_later_is_not_published(tmp_path: Path) -> None:
    put(tmp_path / "www", build(tmp_path, "1"))
    before = state(tmp_path / "www")
    artifact = build(tmp_path, "2")
    (artifact.folder / f"x_2_{'c' * 32}.verity.zst").write_text("evil")
    with pytest.raises(VerifyFailed, match="was changed after it was made"):
        put(tmp_path / "www", artifact)
    assert state(tmp_path / "www") == before


def test_a_kernel_image_of_another_root_is_not_published(tmp_path: Path) -> None:
    artifact = build(tmp_path, "1", root_hash="d" * 64)
    with pytest.raises(VerifyFailed, match="root hash"):
        put(tmp_path / "www", artifact)
    assert not (tmp_path / "www").exists()


def test_what_was_interrupted_between_list_and_signature_is_finished(tmp_path: Path) -> None:
    folder = tmp_path / "www"
    put(folder, build(tmp_path, "1"))
    ready = folder / ".ready"
    ready.mkdir()
    (ready / signing.SUMS).write_text((folder / signing.SUMS).read_text())
    (folder / signing.SUMS).unlink()
    (folder / ".list-abc").mkdir()
    (folder / ".partial-x").write_text("half")
    put(folder, build(tmp_path, "2"))
    assert {version for _, version in versions_in(folder)} == {"1", "2"}
    assert {name for name in state(folder) if name.startswith(".")} == set()


def test_what_somebody_deleted_is_not_offered_any_more(tmp_path: Path) -> None:
    folder = tmp_path / "www"
    put(folder, build(tmp_path, "1"))
    for path in folder.glob("x-cuda_*"):
        path.unlink()
    put(folder, build(tmp_path, "2"))
    assert ("x-cuda", "1") not in versions_in(folder)


def test_a_folder_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "www").write_text("a file")
    with pytest.raises(ImageError, match="www: File exists"):
        put(tmp_path / "www", build(tmp_path, "1"))


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("llmos_0.1.0.efi", ("llmos", "0.1.0")),
        (f"llmos-vm_1~rc1_{UUIDS['1']}.root.gz", ("llmos-vm", "1~rc1")),
        ("llmos-cuda_2.raw", ("llmos-cuda", "2")),
        ("my_own_model_v2.gguf", ("my_own_model", "v2")),
    ],
)
def test_a_name_says_component_and_version(name: str, component: tuple[str, str]) -> None:
    assert publish.component_of(name) == component


def test_models_are_published_by_themselves(tmp_path: Path) -> None:
    path = tmp_path / "plan.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(UserError, match="has no version"):
        updates.of_model(path)
    update = updates.of_model(path, "2.1")
    assert update == Update(path, "plan_2.1.gguf")
    publish.publish(tmp_path / "www", [update], keep=1, signer=None)
    assert versions_in(tmp_path / "www") == {("plan", "2.1")}


def test_without_keys_nothing_is_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build(tmp_path / "build", "1")
    with pytest.raises(SystemExit) as caught:
        main(["publish", "www", "build/x_1"])
    assert caught.value.code == 2
    assert "llmos-image keys" in capsys.readouterr().err
    assert not (tmp_path / "www").exists()
