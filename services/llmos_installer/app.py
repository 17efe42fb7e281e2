"""The installation on full screens: 80 by 24, eight colours, ASCII."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath
from typing import ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.theme import BUILTIN_THEMES

from llmos_installer.driver import SoberDriver
from llmos_installer.errors import InstallerError, Interrupted
from llmos_installer.interview import Interview
from llmos_installer.plan import InstallPlan
from llmos_installer.progress import Progress, Report
from llmos_installer.screens.ask import AskScreen
from llmos_installer.screens.work import WorkScreen

THEME: Final = replace(BUILTIN_THEMES["ansi-dark"], name="llmos-install")

Work = Callable[[InstallPlan, Report], None]
"""Installs what the plan says; runs in a thread of its own."""


class InstallApp(App[InstallerError | None], inherit_bindings=False):
    """Asks, installs, and returns None when all is well, else what went wrong."""

    ENABLE_COMMAND_PALETTE = False
    CSS_PATH: ClassVar[list[str | PurePath]] = ["screens/ask.tcss", "screens/work.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "leave", show=False, priority=True),
    ]

    def __init__(
        self, interview: Interview, work: Work, *, driver: type[Driver] | None = SoberDriver
    ) -> None:
        super().__init__(driver_class=driver)
        self._interview = interview
        self._work = work
        self._stopped = threading.Event()
        self._working = False
        self.crash: BaseException | None = None
        self.register_theme(THEME)
        self.theme = THEME.name

    def get_default_screen(self) -> AskScreen:
        """Begin with the first question."""
        return AskScreen(self._interview)

    def action_leave(self) -> None:
        """Leave; an installation that goes on is stopped first."""
        if self._working:
            self._stopped.set()
        else:
            self.exit(Interrupted())

    def on_ask_screen_agreed(self, message: AskScreen.Agreed) -> None:
        """Begin: all is answered and confirmed."""
        self._working = True
        screen = WorkScreen(message.plan.disk.words())
        self.push_screen(screen)
        threading.Thread(target=self._install, args=(message.plan, screen), daemon=True).start()

    def on_work_screen_left(self) -> None:
        """End: the person has read that it is done, or why not."""
        screen = self.screen
        self.exit(screen.failure if isinstance(screen, WorkScreen) else None)

    def _install(self, plan: InstallPlan, screen: WorkScreen) -> None:
        def report(progress: Progress) -> None:
            if self._stopped.is_set():
                raise Interrupted(f"interrupted; {plan.disk.name} is empty and starts nothing")
            self.call_from_thread(screen.show, progress)

        failure: InstallerError | None = None
        try:
            self._work(plan, report)
        except InstallerError as error:
            failure = error
        except Exception as error:  # the person must see that it ended, and how
            failure = InstallerError(f"{type(error).__name__}: {error}")
        self._working = False
        self.call_from_thread(screen.end, failure)

    def _handle_exception(self, error: Exception) -> None:
        """Leave without a traceback on the terminal; Textual has no public hook for this."""
        self.crash = error
        super()._handle_exception(error)

    def _print_error_renderables(self) -> None:
        """The command says in one line what it was."""
        self._exit_renderables.clear()
