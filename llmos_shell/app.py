"""The application: one screen, the terminal's own colours, and a last word after a crash."""

import os
import select
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Final

from textual.app import App
from textual.events import Event, Key, Paste
from textual.theme import BUILTIN_THEMES

from llmos_shell.driver import SoberDriver
from llmos_shell.history import history_file
from llmos_shell.login import HUNG_UP
from llmos_shell.screens.main import MainScreen
from llmos_shell.session import Session
from llmos_shell.terminal import Terminal

BASE: Final = BUILTIN_THEMES["ansi-dark"]
THEME: Final = replace(
    BASE,
    name="llmos",
    variables={
        **BASE.variables,
        "command-option": "ansi_cyan",
        "command-string": "ansi_green",
        "command-operator": "ansi_yellow",
    },
)
"""The terminal's own colours, of which every terminal has eight."""


LOOK_SECONDS: Final = 5.0


class ShellApp(App[None], inherit_bindings=False):  # its Ctrl-Q would leave unasked
    """The session's user interface."""

    ENABLE_COMMAND_PALETTE = False
    CSS_PATH = "screens/main.tcss"  # Textual reads no style sheet of a default screen

    def __init__(self, session: Session, terminal: Terminal) -> None:
        super().__init__(
            driver_class=None if terminal.rich else SoberDriver,
        )
        self.session = session
        self.terminal = terminal
        self.crash: BaseException | None = None
        self._ahead: list[Key | Paste] | None = []
        self.register_theme(THEME)
        self.theme = THEME.name
        self.set_class(terminal.rich, "rich")

    def get_default_screen(self) -> MainScreen:
        """Begin with the main screen."""
        return MainScreen(self.session, self.terminal)

    def on_mount(self) -> None:
        """Watch the terminal: one that is gone is read as endless nothing, at full speed."""
        self.set_interval(LOOK_SECONDS, self._leave_a_terminal_that_is_gone)

    @property
    def listening(self) -> bool:
        """Whether what is typed reaches the line; before, it is kept."""
        return self._ahead is None

    async def on_event(self, event: Event) -> None:
        """Keep what is typed before the line is there to take it, in its order.

        All keys come through here, one after the other: further down, one that was kept could
        be overtaken. Enter is not kept: the person sees the line first.
        """
        if self._ahead is None or not isinstance(event, Key | Paste):
            await super().on_event(event)
        elif isinstance(event, Paste) or event.is_printable:
            self._ahead.append(event)

    async def on_main_screen_listening(self) -> None:
        """Pass on what was typed ahead; the keys that come now wait behind this."""
        ahead, self._ahead = self._ahead or [], None
        for event in ahead:
            await super().on_event(event)

    def _leave_a_terminal_that_is_gone(self) -> None:
        look = select.poll()
        look.register(0, 0)  # hang-ups are always reported
        if look.poll(0):
            os._exit(HUNG_UP)  # there is nothing left to restore, and nobody to tell

    def _handle_exception(self, error: Exception) -> None:
        """Leave without a traceback on the terminal: the login shell says the reason.

        Textual has no public hook for this.
        """
        self.crash = error
        super()._handle_exception(error)

    def _print_error_renderables(self) -> None:
        """Keep the traceback off the terminal; it is in the crash file."""
        self._exit_renderables.clear()


def run(terminal: Terminal) -> tuple[int, str]:
    """Run a session on this terminal; returns an exit status and, after a crash, why."""
    # What the login shell told the user interface is nothing for the person's commands.
    env = {name: value for name, value in os.environ.items() if not name.startswith("TEXTUAL_")}
    app = ShellApp(Session.of_the_system(env), terminal)
    app.run(mouse=terminal.rich)
    if app.crash is None:
        return app.return_code or 0, ""
    place = _keep(app.crash, history_file(env).with_name("crash.log"))
    return 1, f"{type(app.crash).__name__}: {app.crash}" + (f" (details: {place})" if place else "")


def _keep(crash: BaseException, path: Path) -> Path | None:
    """Write the traceback where somebody can look it up; None when that fails, too."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(crash)), encoding="utf-8")
    except OSError:
        return None
    return path
