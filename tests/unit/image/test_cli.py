"""The command line as a person or a program uses it."""

import json
from pathlib import Path

import pytest

from llmos_image.cli import main

RIGHT = """
[image]
id = "x"
version = "1"
[debian]
mirror = "http://mirror.example/debian"
"""


def llmos_image(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(caught.value.code or 0), said.out, said.err


def test_a_right_spec_is_said_to_be_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.toml").write_text(RIGHT)
    status, out, _ = llmos_image(capsys, "check", tmp_path / "x.toml")
    assert status == 0
    assert "right. x_1" in out


def test_a_wrong_spec_gives_2_and_every_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.toml").write_text(RIGHT + "[disk]\nesp = 1\nrot = 2\n")
    status, _, err = llmos_image(capsys, "check", tmp_path / "x.toml")
    assert status == 2
    assert "disk.esp" in err
    assert "disk.rot: unknown key (did you mean 'root'?" in err
    assert "Traceback" not in err
    status, out, _ = llmos_image(capsys, "check", tmp_path / "x.toml", "--json")
    assert status == 2
    assert len(json.loads(out)["faults"]) == 2


def test_unknown_words_give_2_and_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = llmos_image(capsys, "biuld")
    assert status == 2
    assert "No such command" in err
    status, _, err = llmos_image(capsys, "check", "no-such-spec")
    assert status == 2
    assert "llmos-image list" in err


def test_render_prints_or_writes_the_same_tree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.toml").write_text(RIGHT)
    status, out, _ = llmos_image(capsys, "render", tmp_path / "x.toml", "--json")
    assert status == 0
    files = json.loads(out)
    llmos_image(capsys, "render", tmp_path / "x.toml", "--out", tmp_path / "tree")
    assert all((tmp_path / "tree" / path).read_text() == text for path, text in files.items())


def test_render_does_not_write_over_a_persons_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.toml").write_text(RIGHT)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious").write_text("x")
    status, _, err = llmos_image(capsys, "render", tmp_path / "x.toml", "--out", tmp_path / "mine")
    assert status == 2
    assert "not empty" in err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["precious"]


def test_build_says_first_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = RIGHT + f'[[models]]\npath = "none.gguf"\nsha256 = "{"0" * 64}"\n'
    (tmp_path / "x.toml").write_text(spec)
    status, _, err = llmos_image(capsys, "build", tmp_path / "x.toml", "--out", tmp_path / "out")
    assert status == 2
    assert "models[0].path" in err
    assert not (tmp_path / "out").exists()


def test_vm_without_an_image_says_how_to_get_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = llmos_image(capsys, "vm", "--out", tmp_path)
    assert status == 2
    assert "./build.sh" in err


def test_list_and_clean_speak_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOS_CACHE", str(tmp_path / "cache"))
    status, out, _ = llmos_image(capsys, "list", "--out", tmp_path, "--json")
    assert status == 0
    assert {Path(spec["path"]).stem for spec in json.loads(out)["specs"]} == {
        "default",
        "minimal",
        "vm",
    }
    status, out, _ = llmos_image(capsys, "clean", "--json")
    assert json.loads(out) == {"freed": 0}
