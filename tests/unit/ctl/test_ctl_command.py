"""``llmosctl`` as a person calls it."""

import subprocess
import sys

from click.testing import CliRunner

from llmos_ctl.errors import UsageError
from llmos_ctl.main import _guarded, cli


def test_it_explains_itself() -> None:
    answer = CliRunner().invoke(cli, ["--help"])
    assert answer.exit_code == 0
    assert "Exit status" in answer.output


def test_an_unknown_command_is_bad_input() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llmos_ctl.main", "no-such"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no-such" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_becomes_its_message_and_its_exit_status(capsys: object) -> None:
    def fail() -> None:
        raise UsageError("disk: no such thing", hint="Name another.")

    assert _guarded(fail) == 2
