"""The small parts: history, settings, completion, colours, who gets the whole terminal."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_api.notices import NOTICES as WRITTEN_NOTICES
from llmos_api.notices import write_notice
from llmos_shell.complete import complete
from llmos_shell.errors import SettingsError
from llmos_shell.fullscreen import needs_terminal
from llmos_shell.highlight import Role, highlight
from llmos_shell.history import History, history_file
from llmos_shell.lookup import Lookup
from llmos_shell.runner import WRAPPER
from llmos_shell.session import NOTICES, Session
from llmos_shell.settings import Settings, load, settings_files
from llmos_shell.state import ShellState

# History


def test_the_arrows_walk_through_earlier_lines_and_back_to_the_draft() -> None:
    history = History()
    for line in ("one", "two"):
        history.add(line)
    assert history.older("dra") == "two"
    assert history.older("two") == "one"
    assert history.older("one") is None
    assert history.newer() == "two"
    assert history.newer() == "dra"
    assert history.newer() is None


def test_repeated_lines_are_kept_once_and_secret_ones_never() -> None:
    history = History()
    for line in ("ls", "ls", " secret", "", "df"):
        history.add(line)
    assert history.lines == ("ls", "df")


def test_the_history_is_there_again_in_the_next_session(tmp_path: Path) -> None:
    path = history_file({"HOME": str(tmp_path)})
    History(path).add("ls")
    assert History(path).lines == ("ls",)
    assert path.stat().st_mode & 0o077 == 0


def test_a_disk_that_cannot_be_written_is_no_trouble() -> None:
    history = History(Path("/proc/nonexistent/history"))
    history.add("ls")
    assert history.lines == ("ls",)


# Settings


def test_no_settings_are_the_default_ones(tmp_path: Path) -> None:
    assert load((tmp_path / "none.toml",)) == Settings()


def test_the_persons_settings_win(tmp_path: Path) -> None:
    system, own = tmp_path / "a.toml", tmp_path / "b.toml"
    system.write_text("auto_run_read_only = true\n")
    assert load((system, own)).auto_run_read_only
    own.write_text("auto_run_read_only = false\n")
    assert not load((system, own)).auto_run_read_only


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("auto_run = true", "unknown 'auto_run' .one of: auto_run_read_only"),
        ("auto_run_read_only = 1", "should be true or false"),
        ("auto_run_read_only = ", "shell.toml: "),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "shell.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=complaint):
        load((path,))


def test_wrong_settings_are_a_note_and_no_obstacle(tmp_path: Path) -> None:
    path = settings_files({"HOME": str(tmp_path)})[-1]
    path.parent.mkdir(parents=True)
    path.write_text("nonsense = 1\n")
    env = {"HOME": str(tmp_path), "PATH": "/bin"}
    session = Session.of_the_system(env, tmp_path / "no-notices")
    assert session.settings == Settings()
    assert "nonsense" in session.notes[0]


def test_what_the_machine_has_to_say_is_a_note(tmp_path: Path) -> None:
    notices = tmp_path / "notices"
    write_notice("boot", "The update to 2 did not work; 1 runs again.", notices)
    session = Session.of_the_system({"HOME": str(tmp_path), "PATH": "/bin"}, notices)
    assert session.notes == ("The update to 2 did not work; 1 runs again.",)


def test_a_service_that_is_slower_than_the_prompt_is_heard_once(tmp_path: Path) -> None:
    session = Session.of_the_system({"HOME": str(tmp_path), "PATH": "/bin"}, tmp_path / "notices")
    assert session.new_notes() == ()
    write_notice("boot", "Version 2 did not work.", tmp_path / "notices")
    assert session.new_notes() == ("Version 2 did not work.",)
    assert session.new_notes() == ()


def test_the_session_looks_for_notices_where_services_put_them() -> None:
    assert NOTICES == WRITTEN_NOTICES


# Completion


@pytest.fixture
def lookup(tmp_path: Path) -> Lookup:
    """A folder with some files, and one program."""
    for name in ("report.txt", "report.odt", "a b.txt", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "x.md").touch()
    program = tmp_path / "bin" / "frobnicate"
    program.parent.mkdir()
    program.touch(mode=0o755)
    return Lookup(tmp_path, str(program.parent), str(tmp_path))


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("cat rep", "cat report."),
        ("cat report.o", "cat report.odt "),
        ("cat do", "cat docs/"),
        ("cat docs/", "cat docs/x.md "),
        ("cat ~/do", "cat ~/docs/"),
        ("cat a", "cat a\\ b.txt "),
        ("cat a\\ b", "cat a\\ b.txt "),
        ("frob", "frobnicate "),
        ("!frob", "!frobnicate "),
        ("ls | frob", "ls | frobnicate "),
        ("cat .h", "cat .hidden "),
        ("cat nothing", "cat nothing"),
        ("cat >rep", "cat >report."),
    ],
)
def test_tab_completes_as_far_as_it_is_certain(typed: str, completed: str, lookup: Lookup) -> None:
    assert complete(typed, lookup).text == completed


def test_tab_lists_what_a_word_could_become(lookup: Lookup) -> None:
    assert complete("cat report.", lookup).candidates == ("report.odt", "report.txt")


@given(st.text(max_size=30))
def test_tab_never_takes_away_what_was_typed(text: str) -> None:
    here = Lookup(Path("/"), os.defpath, "/root")
    plain = complete(text, here).text.replace("\\", "")
    assert plain.startswith(text.replace("\\", ""))


# Colours


@given(st.text(max_size=60))
def test_colours_change_nothing_of_a_command(command: str) -> None:
    assert "".join(text for text, _ in highlight(command)) == command


def test_programs_and_joints_stand_out() -> None:
    roles = dict(highlight("ls -l 'a b' | wc"))
    assert roles["ls"] is roles["wc"] is Role.PROGRAM
    assert roles["-l"] is Role.OPTION
    assert roles["'a b'"] is Role.STRING
    assert roles["|"] is Role.OPERATOR


# The whole terminal


@pytest.mark.parametrize(
    "line",
    ["vim x", "sudo vim x", "ls | less", "man ls", "ssh host", "bash", "python3", "env A=b nano x",
     "git commit", "git add -p", "/usr/bin/top", "sudo -i", "cd /tmp && vim x"],
)  # fmt: skip
def test_what_draws_on_the_screen_gets_the_terminal(line: str) -> None:
    assert needs_terminal(line)


@pytest.mark.parametrize(
    "line", ["ls", "python3 x.py", "bash -c ls", "git status", "git commit -m x", "git add x",
             "sudo ls", "echo vim", "grep -r less .", "sudo sh -c 'a=1; ls'", "sudo sh -c ls",
             "env A=b python3 -c a=1"],
)  # fmt: skip
def test_everything_else_runs_in_a_block(line: str) -> None:
    assert not needs_terminal(line)


# The wrapper


def test_shellcheck_accepts_the_wrapper() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", WRAPPER], capture_output=True, text=True, check=False)
    assert not done.stdout


# Lookup and state


def test_programs_are_found_as_bash_finds_them(lookup: Lookup) -> None:
    assert lookup.is_program("frobnicate")
    assert lookup.is_program("./bin/frobnicate")
    assert lookup.is_program("cd")
    assert not lookup.is_program("docs")
    assert not lookup.is_program("a\0b")


def test_paths_are_looked_up_from_the_folder_of_the_session(lookup: Lookup) -> None:
    assert lookup.is_path("docs")
    assert lookup.is_path("~/docs")
    assert not lookup.is_path("nothing")
    assert not lookup.is_path("x" * 5000)


def test_the_prompt_shows_the_home_as_a_tilde() -> None:
    def place(cwd: str) -> str:
        return ShellState(Path(cwd), {"HOME": "/home/ada"}).place

    assert place("/home/ada") == "~"
    assert place("/home/ada/x") == "~/x"
    assert place("/home/adam") == "/home/adam"


@given(st.binary(max_size=200))
def test_any_report_of_a_command_leaves_a_usable_state(report: bytes) -> None:
    state = ShellState(Path("/tmp"), {"HOME": "/"}).after(report, 3)
    assert state.status == 3
    assert state.lookup.path
