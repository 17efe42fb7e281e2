"""Commands run in a real bash on real pseudo terminals."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmos_shell.errors import RunnerError
from llmos_shell.pseudoterminal import TerminalSize
from llmos_shell.runner import Outcome, Runner
from llmos_shell.state import ShellState

SIZE = TerminalSize(80, 24)
PATIENCE = 20.0
# Not a shell: dash, and bash while it forks, can miss a Ctrl-C that comes within microseconds.
SLEEPER = f"""{sys.executable} -c 'import time; print("on", flush=True); time.sleep(100)'"""


class Watch:
    """Collects output, and lets a test act as soon as something is to be seen."""

    def __init__(self) -> None:
        self.seen = b""
        self._changed = asyncio.Event()

    def take(self, data: bytes) -> None:
        self.seen += data[-100_000:]
        self.seen = self.seen[-1_000_000:]
        self._changed.set()

    async def wait_for(self, text: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            while text not in self.seen:
                self._changed.clear()
                await self._changed.wait()

    @property
    def text(self) -> str:
        return self.seen.decode().replace("\r\n", "\n")


async def run(runner: Runner, line: str) -> tuple[Outcome, str]:
    watch = Watch()
    async with asyncio.timeout(PATIENCE):
        outcome = await runner.run(line, SIZE, watch.take)
    return outcome, watch.text


async def run_and(
    runner: Runner, line: str, text: bytes, act: Callable[[], None]
) -> tuple[Outcome, str]:
    """Run ``line``, and act once ``text`` is to be seen."""
    watch = Watch()
    task = asyncio.create_task(runner.run(line, SIZE, watch.take))
    await watch.wait_for(text)
    act()
    async with asyncio.timeout(PATIENCE):
        return await task, watch.text


async def test_a_command_gives_its_output_and_its_status(runner: Runner) -> None:
    outcome, text = await run(runner, "echo hello; exit 3")
    assert text == "hello\n"
    assert outcome.status == 3
    assert outcome.text.startswith("exit 3")


async def test_output_is_on_a_terminal_of_the_size_that_was_asked_for(runner: Runner) -> None:
    _, text = await run(runner, "test -t 1 && test -t 0 && stty size && tty")
    assert text.startswith("24 80\n/dev/pts/")


async def test_the_folder_lives_on(runner: Runner, home: Path) -> None:
    (home / "deep er").mkdir()
    await run(runner, "cd 'deep er'")
    assert runner.state.place == "~/deep er"
    assert (await run(runner, "pwd"))[1] == f"{home}/deep er\n"
    assert (await run(runner, "cd - >/dev/null; pwd"))[1] == f"{home}\n"


async def test_variables_functions_aliases_options_and_umask_live_on(runner: Runner) -> None:
    await run(runner, "export A='a b'; x=5; arr=(1 '2 3'); f() { echo F$1; }; alias g='f 1'")
    await run(runner, "umask 027; shopt -s extglob; set -o pipefail; unset -v LANG")
    line = 'echo "$A" $x "${arr[1]}" $(f 2) "${LANG-none}"; g; umask; shopt extglob'
    _, text = await run(runner, f"{line}; false | true; echo $?")
    assert text == "a b 5 2 3 F2 none\nF1\n0027\nextglob        \ton\n1\n"
    assert runner.state.names == {"f", "g"}


async def test_the_status_lives_on(runner: Runner) -> None:
    await run(runner, "(exit 7)")
    assert (await run(runner, "echo $?"))[1] == "7\n"


async def test_nothing_is_lost_when_a_command_replaces_or_kills_its_bash(runner: Runner) -> None:
    await run(runner, "x=5")
    await run(runner, "exec true")
    await run(runner, "kill -9 $$")
    assert (await run(runner, "echo $x"))[1] == "5\n"


async def test_errexit_does_not_lock_the_person_out(runner: Runner) -> None:
    await run(runner, "set -e; false")
    assert (await run(runner, "echo alive"))[1] == "alive\n"


async def test_errors_of_bash_name_the_line_that_was_typed(runner: Runner) -> None:
    outcome, text = await run(runner, "nosuchprogram")
    assert text == "bash: line 1: nosuchprogram: command not found\n"
    assert outcome.text.startswith("exit 127 (command not found)")
    assert (await run(runner, "echo 'x"))[0].status != 0


async def test_a_pager_does_not_wait_in_a_block_and_the_persons_choice_stays(
    runner: Runner,
) -> None:
    await run(runner, "export PAGER=most")
    assert (await run(runner, "echo $PAGER $GIT_PAGER"))[1] == "cat cat\n"
    assert runner.state.env["PAGER"] == "most"
    assert "GIT_PAGER" not in runner.state.env


async def test_ctrl_c_stops_the_command_and_nothing_else(runner: Runner) -> None:
    outcome, text = await run_and(runner, f"{SLEEPER}; echo after", b"on", runner.interrupt)
    assert outcome.status == 130
    assert "interrupted" in outcome.text
    assert "after" not in text
    assert (await run(runner, "echo alive"))[1] == "alive\n"


async def test_ctrl_c_stops_a_loop(runner: Runner) -> None:
    outcome, _ = await run_and(runner, f"while :; do {SLEEPER}; done", b"on", runner.interrupt)
    assert outcome.status == 130


async def test_a_flood_is_stopped_by_ctrl_c(runner: Runner) -> None:
    loop = asyncio.get_running_loop()
    pressed: list[float] = []

    def press() -> None:
        pressed.append(loop.time())
        runner.interrupt()

    outcome, _ = await run_and(runner, "yes", b"y\r\ny", press)
    assert outcome.status == 130
    assert loop.time() - pressed[0] < 5


async def test_the_third_ctrl_c_kills_what_will_not_listen(runner: Runner) -> None:
    def press_thrice() -> None:
        for _ in range(3):
            runner.interrupt()

    line = "trap '' INT; echo on; while :; do sleep 1; done"
    outcome, _ = await run_and(runner, line, b"on", press_thrice)
    assert outcome.status == 137


async def test_what_is_typed_goes_to_the_command(runner: Runner) -> None:
    _, text = await run_and(
        runner, "read -p 'name: ' n; echo hello $n", b"name: ", lambda: runner.send(b"ada\n")
    )
    assert text == "name: ada\nhello ada\n"


async def test_a_password_prompt_is_noticed(runner: Runner) -> None:
    hidden: list[bool] = []

    def answer() -> None:
        hidden.append(runner.hides_input)
        runner.send(b"secret\n")

    line = "stty -echo; echo -n 'Password: '; read x; stty echo; echo got $x"
    _, text = await run_and(runner, line, b"Password: ", answer)
    assert hidden == [True]
    assert text == "Password: got secret\n"
    assert not runner.hides_input


async def test_a_new_size_reaches_the_command(runner: Runner) -> None:
    line = "sh -c 'trap \"stty size; exit\" WINCH; echo on; while :; do sleep 0.1; done'"
    _, text = await run_and(runner, line, b"on", lambda: runner.resize(TerminalSize(100, 40)))
    assert "40 100" in text


class Ear:
    """Hears what commands write to a named pipe; open from the start, so that nobody waits."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def close(self) -> None:
        os.close(self._fd)

    async def heard(self) -> str:
        """Wait until somebody has written."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._fd, readable.set)
        try:
            async with asyncio.timeout(PATIENCE):
                await readable.wait()
        finally:
            loop.remove_reader(self._fd)
        return os.read(self._fd, 4096).decode()


@pytest.fixture
def ear(home: Path) -> Iterator[Ear]:
    """An ear at `news` in the home folder."""
    made = Ear(home / "news")
    yield made
    made.close()


async def test_a_background_job_outlives_its_line_and_does_not_hold_it_up(
    runner: Runner, home: Path, ear: Ear
) -> None:
    os.mkfifo(home / "go")
    await run(runner, "(read x < go; echo late > news) &")
    assert not runner.running
    await run(runner, "echo now > go")
    assert await ear.heard() == "late\n"


async def test_a_folder_that_is_gone_is_no_reason_to_stop(runner: Runner, home: Path) -> None:
    await run(runner, "mkdir gone; cd gone; rmdir ../gone")
    outcome, text = await run(runner, "pwd")
    assert outcome.status == 0
    assert text == f"{home}\n"


async def test_no_bash_is_a_clear_error(state: ShellState) -> None:
    with pytest.raises(RunnerError, match="could not be started"):
        await Runner(state, bash="/nonexistent/bash").run("ls", SIZE, lambda _: None)


async def test_the_login_files_are_read_once(runner: Runner, home: Path) -> None:
    (home / ".bash_profile").write_text("export FROM_PROFILE=yes\ncd /\n")
    await runner.prime()
    assert (await run(runner, "echo $FROM_PROFILE"))[1] == "yes\n"


async def test_login_files_that_hang_do_not_hold_up_the_session(runner: Runner, home: Path) -> None:
    (home / ".bash_profile").write_text("sleep 1000\n")
    await runner.prime(patience=0.3)
    assert (await run(runner, "echo alive"))[1] == "alive\n"


async def test_a_cancelled_command_is_hung_up_on(runner: Runner, ear: Ear) -> None:
    watch = Watch()
    line = "trap 'echo bye > news; exit' HUP; echo on; while :; do sleep 0.05; done"
    task = asyncio.create_task(runner.run(line, SIZE, watch.take))
    await watch.wait_for(b"on")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not runner.running
    assert await ear.heard() == "bye\n"
