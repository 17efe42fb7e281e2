"""Artifacts appear together or not at all, and say what they are."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from llmos_image import artifacts
from llmos_image.errors import UserError
from llmos_image.spec import parse

SPEC = parse('[image]\nid = "x"\nversion = "1"\n', path=Path("x.toml"))


def write_half(folder: Path) -> None:
    (folder / "x_1.raw").write_text("half")
    raise OSError("full")


def publish(out: Path, text: str) -> None:
    with artifacts.publishing(out, "x_1") as folder:
        (folder / "x_1.raw").write_text(text)
        artifacts.describe(folder, SPEC, packages=[], sizes={"uki": 1}, versions={})


def test_a_build_that_ends_badly_leaves_the_last_one(tmp_path: Path) -> None:
    publish(tmp_path, "old")
    with (
        pytest.raises(OSError, match="full"),
        artifacts.publishing(tmp_path, "x_1") as folder,
    ):
        write_half(folder)
    assert (tmp_path / "x_1" / "x_1.raw").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x_1"]


def test_a_new_build_takes_the_place_of_the_last_one(tmp_path: Path) -> None:
    publish(tmp_path, "old")
    publish(tmp_path, "new")
    assert (tmp_path / "x_1" / "x_1.raw").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["x_1"]


def test_the_checksums_are_those_of_sha256sum(tmp_path: Path) -> None:
    publish(tmp_path, "disk")
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=tmp_path / "x_1",
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["x_1.raw: OK", "image.json: OK"]


def test_an_artifact_is_read_back(tmp_path: Path) -> None:
    publish(tmp_path, "disk")
    artifact = artifacts.read(tmp_path / "x_1")
    assert artifact.disk == tmp_path / "x_1" / "x_1.raw"
    assert artifact.sha256 == hashlib.sha256(b"disk").hexdigest()
    assert artifact.facts["spec_digest"] == SPEC.digest()
    assert [found.folder for found in artifacts.all_in(tmp_path)] == [tmp_path / "x_1"]


def test_a_folder_without_an_image_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image there"):
        artifacts.read(tmp_path)


def test_an_out_folder_that_is_a_file_is_the_persons_mistake(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="--out"), artifacts.publishing(tmp_path / "out", "x"):
        pass
