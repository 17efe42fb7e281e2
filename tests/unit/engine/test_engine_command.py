"""The command line and the files that start it."""

import subprocess
import sys
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


def test_the_preset_enables_units_that_exist() -> None:
    preset = ROOT / "overlays/engine/usr/lib/systemd/system-preset/50-llmos-engine.preset"
    text = preset.read_text()
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert sorted(unit for _, unit in lines) == sorted(path.name for path in UNITS.iterdir())
    for verb, unit in lines:
        # What is not enabled is started by its timer.
        assert verb == "enable" or (UNITS / unit).with_suffix(".timer").exists()


def test_a_socket_that_cannot_be_had_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")
    argv = ["--backend", "echo", "--socket", str(tmp_path / "s"), "--models", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "llmos_engine.main", *argv],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"llmos-engine: cannot listen on {tmp_path / 's'}: it exists and is no socket\n"
    )
