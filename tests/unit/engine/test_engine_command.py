"""The command line and the files that start it."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from llmos_engine.main import main

ROOT = Path(__file__).parents[3]
UNITS = ROOT / "overlays/engine/usr/lib/systemd/system"


def test_help_shows_examples_and_exit_codes() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert "curl --unix-socket" in result.output
    assert "130 interrupted" in result.output


@pytest.mark.parametrize(
    "arguments",
    [["--backend", "gpt"], ["--models", "/does/not/exist"], ["--context", "3"], ["--nope"]],
)
def test_bad_arguments_are_exit_code_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 2


def test_the_unit_starts_what_the_wheel_installs() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    (start,) = (
        line.removeprefix("ExecStart=").split()[0]
        for line in (UNITS / "llmos-engine.service").read_text().splitlines()
        if line.startswith("ExecStart=")
    )
    assert start == "/usr/lib/llmos/bin/llmos-engine"
    assert Path(start).name in scripts


def test_the_preset_enables_units_that_exist() -> None:
    preset = ROOT / "overlays/engine/usr/lib/systemd/system-preset/50-llmos-engine.preset"
    lines = [line.split() for line in preset.read_text().splitlines()]
    assert sorted(unit for _, unit in lines) == sorted(path.name for path in UNITS.iterdir())
    assert {verb for verb, _ in lines} == {"enable"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_no_fault_with_the_units(tmp_path: Path) -> None:
    # The program is not installed on this machine: the copy that is checked names another.
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/usr/lib/llmos/bin/llmos-engine", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
