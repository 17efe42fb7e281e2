"""The real shell on real terminals, with the real engine behind its socket (echo back end).

tmux is the terminal: what it shows is what a person would see. The echo back end answers a
request by itself, so `?df -h` proposes `df -h`.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.tmux_screen import COMMANDS, PATIENCE, Screen
from tests.unit.models.gguf_file import tiny_model

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home folder of a new person."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a real engine that says what it is told."""
    folder = tmp_path_factory.mktemp("engine")
    models = folder / "models"
    models.mkdir()
    tiny_model(extra={"llmos.plan.slots": "0"}).write(models / "default.gguf")
    path = folder / "engine.sock"
    argv = [str(COMMANDS / "llmos-engine"), "--socket", str(path), "--models", str(models)]
    with subprocess.Popen([*argv, "--backend", "echo"], stderr=subprocess.DEVNULL) as engine:
        yield path
        engine.terminate()


Open = Callable[..., Screen]


@pytest.fixture
def open_screen(home: Path, socket: Path) -> Iterator[Open]:
    """Open terminals; they are closed afterwards."""
    screens: list[Screen] = []

    def opened(term: str = "xterm-256color", sees: str = r"^llmos .*>", **env: str) -> Screen:
        screen = Screen(term=term, env={"LLMOS_ENGINE_SOCKET": str(socket), **env}, home=home)
        screens.append(screen)
        screen.sees(sees)
        return screen

    yield opened
    for screen in screens:
        screen.close()


@pytest.mark.parametrize("term", ["xterm-256color", "linux", "vt220", "vt100", "dumb"])
def test_a_request_becomes_true_output_on_every_kind_of_terminal(
    open_screen: Open, term: str
) -> None:
    screen = open_screen(term)
    screen.sees(r"^llmos ~ >", r"model: ready")
    screen.type("?df -h /")
    screen.sees(r"^\$ df -h /$", r"reads only", r"^Enter: run", r"^run it\? >")
    screen.press("Enter")
    screen.sees(r"^Filesystem +Size +Used +Avail +Use% +Mounted on", r"% /$", r"^exit 0\b")
    screen.sees(r"^llmos ~ >")


def test_a_line_typed_before_the_session_is_there_is_not_lost(open_screen: Open) -> None:
    screen = open_screen(sees="")
    screen.type("!echo typed ahead of time", enter=False)
    screen.sees(r"^llmos ~ > !echo typed ahead of time")
    screen.press("Enter")
    screen.sees(r"^typed ahead of time$", r"^exit 0\b", r"^llmos ~ >")


def test_commands_run_and_what_they_change_stays(open_screen: Open, home: Path) -> None:
    screen = open_screen()
    screen.type("mkdir docs && cd docs && export COLOUR=blue")
    screen.sees(r"^exit 0\b", r"^llmos ~/docs >")
    screen.type("!echo $COLOUR in $PWD")
    screen.sees(rf"^blue in {re.escape(str(home))}/docs$")


def test_ctrl_c_stops_a_flood_within_moments(open_screen: Open) -> None:
    screen = open_screen()
    screen.sees(r"model: ready")
    screen.type("!yes")
    screen.sees(r"^y$", r"^input >")
    pressed = time.monotonic()
    screen.press("C-c")
    screen.sees(r"^exit 130 \(interrupted\)", r"^llmos ~ >")
    assert time.monotonic() - pressed < 10


def test_a_full_screen_program_gets_the_terminal_and_gives_it_back(
    open_screen: Open, home: Path
) -> None:
    (home / "poem").write_text("".join(f"verse {n}\n" for n in range(100)))
    screen = open_screen()
    screen.type("less poem")
    screen.until(lambda text: "verse 0" in text and "llmos ~" not in text)
    screen.press("q")
    screen.until(lambda text: "exit 0" in text)
    if "back to the session" in screen.text:
        screen.press("Enter")
    screen.sees(r"^\$ less poem$", r"^llmos ~ >")


def test_bash_is_one_word_away_and_has_job_control(open_screen: Open) -> None:
    screen = open_screen()
    screen.type("bash")
    screen.sees(r"[$#]$")
    screen.type("sleep 1000")
    screen.until(lambda text: "sleep 1000" in text)
    screen.press("C-z")
    screen.sees(r"Stopped +sleep 1000")
    screen.type("kill %1; exit")
    screen.sees(r"stopped jobs|exit")
    screen.until(lambda text: _leave(screen, text))
    screen.sees(r"^llmos ~ >", r"^\$ bash$")


def _leave(screen: Screen, text: str) -> bool:
    """Bash asks a second time when jobs are stopped; the session asks for Enter at most once."""
    if re.search(r"^llmos ~ >", text, re.MULTILINE):
        return True
    if "back to the session" in text:
        screen.press("Enter")
    elif re.search(r"[$#]$", text.rstrip()):
        screen.type("exit")
    time.sleep(0.5)
    return False


def test_a_killed_session_lands_in_a_working_bash_with_the_reason(open_screen: Open) -> None:
    screen = open_screen()
    screen.sees(r"model: ready")
    _, session = screen.children()
    os.kill(session, 9)
    screen.sees(r"the session has ended: killed by SIGKILL", r"You are in bash now")
    screen.type("echo it is $((40+2)); stty -a | grep -o ' echo '")
    screen.sees(r"^it is 42$", r"^ echo$")
    screen.type("exit 7")
    screen.sees(r"the shell has ended: 7")


def test_a_session_that_cannot_start_lands_in_bash_with_the_reason(
    open_screen: Open, tmp_path: Path
) -> None:
    """As with a broken update: the library is there and cannot be imported."""
    broken = tmp_path / "broken" / "textual"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('half an update')\n")
    screen = open_screen(sees="bash now", PYTHONPATH=str(broken.parent))
    screen.sees(r"the session has ended: ImportError: half an update", r"You are in bash now")
    screen.type("echo it is $((40+2))")
    screen.sees(r"^it is 42$")


def test_leaving_gives_the_terminal_back_as_it_was(open_screen: Open) -> None:
    screen = open_screen()
    screen.type("exit")
    screen.sees(r"^the shell has ended: 0$")


def test_the_way_out_leads_to_bash_at_once(open_screen: Open) -> None:
    screen = open_screen(sees=r"[$#]$", LLMOS_SHELL="bash")
    assert "llmos ~" not in screen.text
    screen.type("exit 4")
    screen.sees(r"^the shell has ended: 4$")


def test_without_a_home_and_without_an_engine_it_comes_up(open_screen: Open) -> None:
    screen = open_screen(HOME="/nonexistent/home", LLMOS_ENGINE_SOCKET="/nonexistent/sock", LANG="")
    screen.sees(r"^llmos .+ >", r"model: not reachable")
    screen.type("?anything at all")
    screen.sees(r"The engine does not answer", r"Commands still work")
    screen.type("!echo fine")
    screen.sees(r"^fine$", r"^exit 0\b")


def test_a_resized_terminal_is_drawn_anew_and_commands_know(open_screen: Open) -> None:
    # Some programs export the size; it is wrong as soon as the window changes.
    screen = open_screen(COLUMNS="80", LINES="24")
    screen.tmux("resize-window", "-x", "60", "-y", "16")
    screen.until(lambda text: len(text.rstrip().splitlines()) <= 16)
    screen.type("!stty size")
    screen.sees(r"^16 (59|60)$", r"^llmos ~ >")


def test_a_password_prompt_hides_what_is_typed(open_screen: Open) -> None:
    screen = open_screen()
    screen.type("!read -s -p 'Password: ' x; echo; echo got ${#x} letters")
    screen.sees(r"^Password:", r"^input >", r"what you type is hidden")
    screen.type("secret")
    screen.sees(r"^got 6 letters$")
    assert "secret" not in screen.text


def test_a_session_whose_terminal_is_gone_ends(home: Path, socket: Path) -> None:
    """Also where nobody sends SIGHUP, because it is not the controlling terminal."""
    ours, theirs = os.openpty()
    env = {"HOME": str(home), "LLMOS_ENGINE_SOCKET": str(socket), "TERM": "xterm-256color"}
    with subprocess.Popen(
        [COMMANDS / "llmos-shell"], stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, **env}, cwd=home,
    ) as shell:  # fmt: skip
        os.close(theirs)
        shown = b""
        while b"llmos" not in shown:
            shown += os.read(ours, 65536)
        os.close(ours)
        assert shell.wait(PATIENCE) == 129
