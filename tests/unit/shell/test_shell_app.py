"""The session as a person sees it: 80 by 24, a real bash, an engine that answers from a table."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from textual.events import Key, Paste
from textual.pilot import Pilot
from textual.widgets import Input

from llmos_api import Health, HealthStatus
from llmos_api.notices import write_notice
from llmos_shell.app import ShellApp
from llmos_shell.engine import EngineLink
from llmos_shell.session import Session
from llmos_shell.settings import Settings
from llmos_shell.terminal import Line, Terminal
from tests.unit.shell.fake_engine import FakeEngine

PATIENCE = 20.0
EMULATOR = Terminal(Line.EMULATOR, "xterm-256color")
CONSOLE = Terminal(Line.CONSOLE, "linux")
REQUEST = "how much free disk space is there"


class Person:
    """Types, and looks at the screen."""

    def __init__(self, app: ShellApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> str:
        """The rows of the screen."""
        width, height = self.app.size
        rows = self.app.screen._compositor.render_strips()
        assert len(rows) == height
        return "\n".join("".join(s.text for s in row)[:width].rstrip() for row in rows)

    async def type(self, text: str) -> None:
        """Type a line and press Enter."""
        # As one event of many characters, as a fast terminal delivers them.
        self.app.post_message(Paste(text))
        await self.press("enter")

    async def press(self, *keys: str) -> None:
        """Press keys; letters are keys, too."""
        await self.pilot.press(*keys)

    async def sees(self, *texts: str) -> None:
        """Wait until all of ``texts`` are on the screen."""
        await self.until(lambda: all(text in self.screen for text in texts))

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something is so."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not true():
                    await self.pilot.pause(0.02)
        except TimeoutError:
            pytest.fail(f"not seen; the screen shows:\n{self.screen}")


@asynccontextmanager
async def at(
    session: Session, terminal: Terminal = EMULATOR, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Person]:
    """Sit down in front of a session."""
    app = ShellApp(session, terminal)
    async with app.run_test(size=size) as pilot:
        person = Person(app, pilot)
        await person.sees("llmos ~ >")
        # An Enter that comes a moment too early is dropped, and that is as it should be.
        await person.until(lambda: app.listening and session.is_warm)
        yield person


async def test_the_first_picture_says_what_to_type(session: Session) -> None:
    async with at(session) as person:
        await person.sees("Type what you want in plain words", "F1 help", "model: ready fake")


async def test_a_request_is_shown_agreed_to_and_run(session: Session, engine: FakeEngine) -> None:
    engine.plan(REQUEST, "df -h /", "Show free space")
    async with at(session) as person:
        await person.type(REQUEST)
        await person.sees(
            f"> {REQUEST}",
            "Show free space",
            "$ df -h /",
            "[reads only]",
            "Enter: run",
            "run it? >",
        )
        assert "Mounted on" not in person.screen
        await person.press("enter")
        await person.sees("Mounted on", "exit 0", "llmos ~ >")


async def test_keys_that_come_all_at_once_are_taken_in_their_order(session: Session) -> None:
    keys = [*"echo onx", "backspace", "e", "home", "end", "enter", *"tw", "left", "x"]
    async with at(session) as person:
        for key in keys:
            person.app.post_message(Key(key, key if len(key) == 1 else None))
        await person.sees("$ echo one", "exit 0")
        # Typed ahead, while the first one ran: it is still there, as it was typed.
        await person.until(lambda: person.app.query_one(Input).value == "txw")


@pytest.mark.parametrize("terminal", [EMULATOR, CONSOLE])
async def test_only_ascii_is_drawn_on_plain_terminals(
    session: Session, engine: FakeEngine, terminal: Terminal
) -> None:
    engine.plan(REQUEST, "seq 100")
    async with at(session, terminal) as person:
        await person.type(REQUEST)
        await person.sees("Enter: run")
        await person.press("enter")
        await person.sees("exit 0")
        assert terminal.rich or person.screen.isascii()


async def test_the_way_of_a_line_is_to_be_seen_before_enter(session: Session) -> None:
    async with at(session) as person:
        await person.press(*"ls")
        await person.sees("a command: Enter runs it")
        await person.press(*" my files please")
        await person.sees("a request: Enter asks the model")


async def test_a_typed_command_runs_at_once(session: Session, engine: FakeEngine) -> None:
    async with at(session) as person:
        await person.type("!echo hi there")
        await person.sees("$ echo hi there", "\nhi there", "exit 0")
        assert not engine.asked


async def test_the_prompt_follows_the_folder(session: Session, home: Path) -> None:
    (home / "docs").mkdir()
    async with at(session) as person:
        await person.type("cd docs")
        await person.sees("llmos ~/docs >")


async def test_a_failed_command_shows_its_status(session: Session) -> None:
    async with at(session) as person:
        await person.type("!false")
        await person.sees("exit 1")


@pytest.mark.parametrize("key", ["escape", "ctrl+c"])
async def test_a_plan_can_be_refused(session: Session, engine: FakeEngine, key: str) -> None:
    engine.plan(REQUEST, "df -h")
    async with at(session) as person:
        await person.type(REQUEST)
        await person.sees("Enter: run")
        await person.press(key)
        await person.sees("Not run.", "llmos ~ >")
        assert "Mounted on" not in person.screen


async def test_a_plan_can_be_edited(session: Session, engine: FakeEngine) -> None:
    engine.plan(REQUEST, "echo one")
    async with at(session) as person:
        await person.type(REQUEST)
        await person.sees("Enter: run")
        await person.press("e")
        await person.sees("llmos ~ > !echo one")
        await person.press("backspace", "backspace", "backspace")
        await person.type("two")
        await person.sees("\ntwo", "exit 0")


async def test_a_change_needs_more_than_enter(
    session: Session, engine: FakeEngine, home: Path
) -> None:
    engine.plan("make a folder called photos", "mkdir -p photos")
    async with at(session) as person:
        await person.type("make a folder called photos")
        await person.sees("[changes files]", "y and Enter: run")
        await person.press("enter")
        await person.pilot.pause()
        await person.sees("run it? >")
        assert not (home / "photos").exists()
        await person.type("y")
        await person.sees("exit 0")
        assert (home / "photos").is_dir()


async def test_destruction_needs_the_whole_word(
    session: Session, engine: FakeEngine, home: Path
) -> None:
    (home / "old").touch()
    engine.plan("delete the file old", "rm old")
    async with at(session) as person:
        await person.type("delete the file old")
        await person.sees("[destroys data]", "type yes and Enter")
        await person.type("y")
        await person.sees("Not run.")
        assert (home / "old").exists()
        await person.type("delete the file old")
        await person.sees("run it? >")
        await person.type("yes")
        await person.sees("exit 0")
        assert not (home / "old").exists()


async def test_yes_at_a_plan_is_an_answer_and_never_the_program(
    session: Session, engine: FakeEngine
) -> None:
    engine.plan(REQUEST, "echo done")
    async with at(session) as person:
        await person.type(REQUEST)
        await person.sees("Enter: run")
        await person.type("yes")
        await person.sees("\ndone", "exit 0")
        await person.type("yes")
        await person.sees("No question is open", "llmos ~ >")


async def test_keys_typed_before_the_line_is_there_keep_their_order(session: Session) -> None:
    app = ShellApp(session, EMULATOR)
    typed = "!echo one two three"
    for letter in typed[:9]:
        app.post_message(Key(letter, letter))
    app.post_message(Key("enter", "\r"))
    async with app.run_test(size=(80, 24)) as pilot:
        for letter in typed[9:]:
            app.post_message(Key(letter, letter))
        person = Person(app, pilot)
        await person.sees(f"llmos ~ > {typed}")
        await person.until(lambda: session.is_warm)


async def test_a_line_typed_ahead_is_no_answer(session: Session, engine: FakeEngine) -> None:
    """The person types on while the model thinks: that must not agree to anything."""
    thinking = asyncio.Event()
    go_on = asyncio.Event()

    async def wait() -> None:
        thinking.set()
        await go_on.wait()

    engine.plan("delete old", "rm -r .")
    engine.before_answer = wait
    async with at(session) as person:
        await person.type("?delete old")
        await thinking.wait()
        await person.type("yes")
        go_on.set()
        await person.sees("[destroys data]", "run it? >")
        assert "run it? > yes" not in person.screen
        await person.press("escape")
        await person.sees("llmos ~ > yes")


async def test_ctrl_c_takes_a_request_back(session: Session, engine: FakeEngine) -> None:
    thinking = asyncio.Event()

    async def wait() -> None:
        thinking.set()
        await asyncio.Event().wait()

    engine.before_answer = wait
    async with at(session) as person:
        await person.type("?anything")
        await thinking.wait()
        await person.sees("thinking >")
        await person.press("ctrl+c")
        await person.sees("Never mind.", "llmos ~ >")


async def test_ctrl_c_stops_a_command_and_not_the_session(session: Session) -> None:
    async with at(session) as person:
        await person.type("!yes")
        await person.sees("y\ny\ny", "input >", "Ctrl-C: stop")
        await person.press("ctrl+c")
        await person.sees("exit 130 (interrupted)", "llmos ~ >")


async def test_ctrl_c_at_the_prompt_drops_the_line(session: Session) -> None:
    async with at(session) as person:
        await person.press(*"rm -rf x", "ctrl+c")
        await person.press("enter")
        assert "$ rm" not in person.screen


async def test_what_is_typed_while_a_command_runs_goes_to_it(session: Session) -> None:
    async with at(session) as person:
        await person.type("!read x; echo got $x")
        await person.sees("input >")
        await person.type("ada")
        await person.sees("\ngot ada", "exit 0")


async def test_a_password_is_not_shown(session: Session) -> None:
    async with at(session) as person:
        await person.type("!stty -echo; echo Password:; read x; stty echo; echo length ${#x}")
        await person.sees("\nPassword:", "input >", "what you type is hidden")
        await person.press(*"secret")
        assert "secret" not in person.screen
        await person.press("enter")
        await person.sees("length 6")
        assert "secret" not in person.screen


async def test_without_an_engine_requests_say_so_and_commands_work(
    session: Session, engine: FakeEngine
) -> None:
    engine.stop()
    async with at(session) as person:
        await person.sees("model: not reachable")
        await person.type("how full is the disk")
        await person.sees("The engine does not answer: Connection refused", "Commands still work")
        await person.type("!echo fine")
        await person.sees("\nfine", "exit 0")


async def test_the_state_of_the_model_is_to_be_seen_while_it_loads(
    session: Session, engine: FakeEngine
) -> None:
    engine.health_answer = Health(HealthStatus.LOADING)
    async with at(session) as person:
        await person.sees("model: loading")
        engine.health_answer = Health(HealthStatus.OK, "fake")
        await person.sees("model: ready fake")


async def test_a_driver_that_failed_is_to_be_seen_all_the_time(
    session: Session, engine: FakeEngine
) -> None:
    session.link = EngineLink(engine, trouble=lambda: "CUDA failed")
    async with at(session) as person:
        await person.sees("model: ready fake (CUDA failed)")


async def test_a_model_that_cannot_be_loaded_is_named_with_the_reason(
    session: Session, engine: FakeEngine
) -> None:
    engine.health_answer = Health(HealthStatus.FAILED, error="bad magic")
    async with at(session) as person:
        await person.sees("model: failed: bad magic")


async def test_a_model_that_is_not_sure_proposes_nothing(
    session: Session, engine: FakeEngine
) -> None:
    engine.plan("do magic", "frobnicate --now")
    async with at(session) as person:
        await person.type("do magic")
        await person.sees("there is no frobnicate here", "llmos ~ >")


async def test_a_program_that_is_not_here_is_named_when_the_model_has_no_plan(
    session: Session,
) -> None:
    async with at(session) as person:
        await person.type("frobnicate notes.txt")
        await person.sees("There is no program called frobnicate here.", "llmos ~ >")


async def test_text_of_the_model_is_text_and_no_markup(
    session: Session, engine: FakeEngine
) -> None:
    engine.plan("x y z", "echo '[bold]'", "[red]careful[/red] \x1b[2J")
    async with at(session) as person:
        await person.type("x y z")
        await person.sees("[red]careful[/red]", "$ echo '[bold]'")


async def test_the_setting_runs_what_only_reads_at_once_and_nothing_else(
    session: Session, engine: FakeEngine
) -> None:
    session.settings = replace(Settings(), auto_run_read_only=True)
    engine.plan("say something", "echo something")
    engine.plan("make a folder", "mkdir x")
    async with at(session) as person:
        await person.type("say something")
        await person.sees("\nsomething", "exit 0")
        await person.type("make a folder")
        await person.sees("run it? >")


async def test_arrows_bring_back_earlier_lines(session: Session) -> None:
    async with at(session) as person:
        await person.type("!echo one")
        await person.sees("exit 0")
        await person.press("up")
        await person.sees("llmos ~ > !echo one")
        await person.press("down")
        await person.until(lambda: "llmos ~ > !echo" not in person.screen)


async def test_tab_completes(session: Session, home: Path) -> None:
    (home / "report.txt").touch()
    async with at(session) as person:
        await person.press(*"cat rep", "tab")
        await person.sees("llmos ~ > cat report.txt")


async def test_help_covers_the_screen_and_goes_away(session: Session) -> None:
    async with at(session) as person:
        await person.press("f1")
        await person.sees("At a plan", "Esc, Ctrl-C")
        await person.press("escape")
        await person.sees("llmos ~ >")


async def test_a_smaller_terminal_keeps_the_prompt(session: Session) -> None:
    async with at(session) as person:
        await person.type("!seq 100")
        await person.sees("exit 0")
        await person.pilot.resize_terminal(40, 10)
        await person.sees("llmos ~ >", "exit 0")
        await person.type("!stty size")
        await person.sees("10 3")


async def test_output_can_be_scrolled(session: Session) -> None:
    async with at(session) as person:
        await person.type("!seq 1000 1200")
        await person.sees("exit 0", "1200")
        for _ in range(12):
            await person.press("pageup")
        await person.sees("\n1000")
        await person.press("pagedown")


async def test_long_conversations_stay_bounded(session: Session) -> None:
    async with at(session) as person:
        for number in range(43):
            await person.type(f"!: {number}")
            await person.sees(f"$ : {number}", "exit 0", "llmos ~ >")
        assert len(person.app.screen.query("Block")) <= 40


@pytest.mark.parametrize("keys", [("f10",), ("ctrl+d",), (*"exit", "enter")])
async def test_there_are_ways_out(session: Session, keys: tuple[str, ...]) -> None:
    async with at(session) as person:
        await person.press(*keys)
        await person.pilot.pause()
    assert person.app.return_code == 0


async def test_what_a_slow_service_has_to_say_is_shown_when_it_says_it(
    session: Session, tmp_path: Path
) -> None:
    session._notices = tmp_path / "notices"
    async with at(session) as person:
        write_notice("boot", "Version 2 did not work.", tmp_path / "notices")
        await person.type("!echo looking again")
        await person.sees("Version 2 did not work.")


async def test_ctrl_q_is_no_way_out(session: Session) -> None:
    async with at(session) as person:
        await person.press("ctrl+q")
        await person.type("!echo still here")
        await person.sees("\nstill here")
