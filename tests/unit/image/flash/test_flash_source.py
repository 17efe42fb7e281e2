"""What the image is, by whatever file it comes in, and what proves it."""

import hashlib
import json
import lzma
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from llmos_image import signing
from llmos_image.errors import BuildFailed, UserError, VerifyFailed
from llmos_image.flash import source
from llmos_image.flash.meter import PlainMeter
from llmos_image.flash.proof import prove
from llmos_image.flash.source import Source
from llmos_image.vm.toolbox import HostToolbox

DATA = bytes(range(256)) * 5000
SHA = hashlib.sha256(DATA).hexdigest()
needs_zstd = pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
needs_xz = pytest.mark.skipif(shutil.which("xz") is None, reason="xz is not installed")


def programs(command: Sequence[str]) -> Sequence[str]:
    return command


def no_programs(command: Sequence[str]) -> Sequence[str]:
    raise AssertionError(f"{command[0]} was called")


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build's folder with the raw disk and both compressed ones."""
    folder = tmp_path / "x_1"
    folder.mkdir()
    raw = folder / "x_1.raw"
    raw.write_bytes(DATA)
    (folder / "x_1.raw.xz").write_bytes(lzma.compress(DATA))
    if shutil.which("zstd"):
        subprocess.run(["zstd", "-q", raw], check=True)
    facts = {"files": [{"name": "x_1.raw", "size": len(DATA), "sha256": SHA}]}
    (folder / "image.json").write_text(json.dumps(facts))
    sum_up(folder)
    return folder


def sum_up(folder: Path) -> None:
    files = [path for path in sorted(folder.iterdir()) if path.name != signing.SUMS]
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in files]
    (folder / signing.SUMS).write_text("".join(lines))


def bytes_of(found: Source) -> bytes:
    return b"".join(found.pieces())


def proof(found: Source, *, is_required: bool = False) -> list[str]:
    """What the person is told when the image is proved."""
    said: list[str] = []
    prove(
        found,
        keyring=found.path.parent / "no-such.pgp",
        is_required=is_required,
        tools=HostToolbox,
        say=said.append,
        meter=PlainMeter(),
    )
    return said


def test_a_builds_folder_gives_its_raw_disk_without_any_program(build: Path) -> None:
    found = source.find(build, no_programs)
    assert found.path.name == "x_1.raw"
    assert bytes_of(found) == DATA
    assert found.image is not None
    assert (found.image.size, found.image.sha256) == (len(DATA), SHA)


def test_a_folder_may_be_the_one_that_one_is_in(
    build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(build)
    assert source.find(Path(), no_programs).path == build / "x_1.raw"


@needs_zstd
def test_a_folder_without_the_raw_disk_gives_the_compressed_one(build: Path) -> None:
    (build / "x_1.raw").unlink()
    found = source.find(build, programs)
    assert found.path.name == "x_1.raw.zst"
    assert bytes_of(found) == DATA
    assert found.image is not None
    assert (found.image.size, found.image.sha256) == (len(DATA), SHA)


@needs_xz
def test_an_xz_file_alone_is_read_to_learn_its_size(build: Path, tmp_path: Path) -> None:
    lone = (build / "x_1.raw.xz").rename(tmp_path / "x_1.raw.xz")
    found = source.find(lone, programs)
    assert found.image is None
    counted: list[int] = []
    image = found.measured(counted.append)
    assert (image.size, image.sha256, sum(counted)) == (len(DATA), SHA, len(DATA))


def test_a_file_that_the_manifest_does_not_tell_of_is_only_itself(build: Path) -> None:
    other = (build / "x_1.raw").rename(build / "mine.raw")
    found = source.find(other, no_programs)
    assert (found.manifest, found.size, found.sha256) == (None, len(DATA), None)


@needs_xz
def test_a_cut_off_download_is_not_taken_for_the_end(build: Path) -> None:
    path = build / "x_1.raw.xz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BuildFailed, match=r"xz ended with status 1: .*[Uu]nexpected end"):
        bytes_of(source.find(path, programs))


@needs_xz
def test_reading_can_stop_early(build: Path) -> None:
    pieces = source.find(build / "x_1.raw.xz", programs).pieces()
    assert next(pieces)
    pieces.close()


@pytest.mark.parametrize("name", ["x.qcow2", "x.efi", "x_1_0123.root.zst", "SHA256SUMS"])
def test_what_is_no_disk_image_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(UserError, match="is not a raw disk image"):
        source.find(tmp_path / name, programs)


def test_a_path_that_leads_nowhere_is_the_persons_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such image"):
        source.find(tmp_path / "none.raw", programs)
    with pytest.raises(UserError, match="no image there"):
        source.find(tmp_path, programs)


def test_a_folder_that_lost_its_disk_says_so(build: Path) -> None:
    for path in build.glob("x_1.raw*"):
        path.unlink()
    with pytest.raises(UserError, match=r"x_1\.raw is missing"):
        source.find(build, programs)


def test_a_manifest_of_another_kind_is_said_to_be_that(build: Path) -> None:
    (build / "image.json").write_text("{}")
    with pytest.raises(UserError, match=r"image\.json: is not one of ours"):
        source.find(build, programs)


def test_a_whole_unsigned_image_goes_through_and_the_person_knows(build: Path) -> None:
    (said,) = proof(source.find(build, programs))
    assert "not signed" in said


def test_only_the_files_that_play_a_part_must_be_there(build: Path) -> None:
    (build / "x_1.raw").unlink()
    assert proof(source.find(build / "x_1.raw.xz", programs))


@pytest.mark.parametrize("name", ["x_1.raw", "image.json"])
def test_a_changed_file_is_refused(build: Path, name: str) -> None:
    text = (build / name).read_bytes()
    found = source.find(build, programs)
    (build / name).write_bytes(text + b" ")
    with pytest.raises(VerifyFailed, match=f"{name}: has the checksum"):
        proof(found)


def test_a_file_that_the_sums_do_not_name_is_refused(build: Path) -> None:
    (build / signing.SUMS).write_text(f"{SHA}  other.raw\n")
    with pytest.raises(VerifyFailed, match=r"does not name image\.json"):
        proof(source.find(build, programs))


def test_an_image_without_sums_goes_through_and_the_person_knows(build: Path) -> None:
    (build / signing.SUMS).unlink()
    (said,) = proof(source.find(build, programs))
    assert "nothing proves" in said


def test_a_signature_that_cannot_be_checked_is_said_and_not_believed(build: Path) -> None:
    (build / signing.SIGNATURE).write_text("")
    (said,) = proof(source.find(build, programs))
    assert "no-such.pgp" in said


def test_what_must_be_signed_is_refused_without_keys_or_signature(build: Path) -> None:
    found = source.find(build, programs)
    with pytest.raises(UserError, match="no such keyring"):
        proof(found, is_required=True)
    (build / signing.SUMS).unlink()
    with pytest.raises(VerifyFailed, match="nothing proves"):
        proof(found, is_required=True)
