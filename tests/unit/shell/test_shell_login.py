"""The login shell: bash for scripts, and never a person without a shell."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from llmos_shell.login import epitaph, wants_session

SHELL = [sys.executable, "-m", "llmos_shell.login"]


def run(*arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> tuple[int, str]:
    done = subprocess.run(
        [*SHELL, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_command_runs_as_sshd_and_cron_ask_for_it() -> None:
    assert run("-c", "echo hi; exit 3") == (3, "hi\n")


def test_the_arguments_of_a_command_arrive() -> None:
    assert run("-c", 'echo "$0|$1|$2"', "name", "a b", "c") == (0, "name|a b|c\n")


@pytest.mark.parametrize("flag", ["-lc", "-ec"])
def test_clustered_flags_go_to_bash_too(flag: str) -> None:
    assert run(flag, "echo hi")[1].endswith("hi\n")


def test_a_script_and_its_arguments_run(tmp_path: Path) -> None:
    script = tmp_path / "s.sh"
    script.write_text('echo "script $1"\n')
    assert run(str(script), "x y") == (0, "script x y\n")


def test_commands_from_a_pipe_run() -> None:
    assert run(stdin="echo piped\n") == (0, "piped\n")
    assert run("-s", "x", stdin='echo "$1"\n') == (0, "x\n")


def test_help_and_version_are_the_shells_own() -> None:
    assert run("--help")[1].startswith("usage: llmos-shell")
    assert run("--version")[1].startswith("llmos-shell 0.")


def test_the_way_out_is_open_even_on_a_terminal() -> None:
    assert not wants_session([], {"LLMOS_SHELL": "bash"})


def test_nothing_heavy_is_imported_for_a_command() -> None:
    code = (
        "import sys; import llmos_shell.login; "
        "print([m for m in ('textual', 'asyncio', 'httpx', 'pathlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True,
                          check=True, env={"PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert done.stdout == "[]\n"


def test_the_reason_is_told_and_the_way_back() -> None:
    text = epitaph(-9, "")
    assert "killed by SIGKILL" in text
    assert "You are in bash now" in text
    assert "KeyError: 'x'" in epitaph(1, "KeyError: 'x'")
    assert "status 3" in epitaph(3, "")


def test_a_terminal_that_cannot_show_the_session_gets_bash() -> None:
    """TERM=dumb, and nobody answers the question for the size: Emacs, for one."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="dumb", PS1="$ ", HOME="/nonexistent")
        os.execv(SHELL[0], SHELL)  # noqa: S606 - as login does it
    said = b""
    try:
        while b"here is bash" not in said:
            said += os.read(fd, 4096)
        os.write(fd, b"echo it is $((40+2)); exit 5\n")
        while True:
            said += os.read(fd, 4096)
    except OSError:
        pass
    finally:
        os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    assert b"this terminal cannot show the session" in said
    assert b"it is 42" in said
