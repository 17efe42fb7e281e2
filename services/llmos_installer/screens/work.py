"""The installation while it goes on, and how it ended."""

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from llmos_installer.errors import InstallerError
from llmos_installer.progress import Progress, Stage

WIDTH: Final = 50
"""Letters of the bar."""


class WorkScreen(Screen[None]):
    """Shows each step and how far it is."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,ctrl+j", "leave", show=False)]

    class Left(Message):
        """The person has read the end of it."""

    def __init__(self, disk: str) -> None:
        super().__init__()
        self._disk = disk
        self._seen: dict[Stage, Progress] = {}
        self._over = False
        self.failure: InstallerError | None = None

    def compose(self) -> ComposeResult:
        """Lay out the steps and the last word."""
        yield Static("LLMOS: installing", id="head", markup=False)
        with Vertical(id="middle"):
            yield Static(self._disk, id="title", markup=False)
            yield Static("", id="steps", markup=False)
            yield Static("", id="end", markup=False)
        yield Static("Ctrl-C: stop; the disk is then empty", id="keys", markup=False)

    def show(self, progress: Progress) -> None:
        """Draw how far it is."""
        self._seen[progress.stage] = progress
        self.query_one("#steps", Static).update("\n".join(map(self._line, self._seen)))

    def end(self, failure: InstallerError | None) -> None:
        """Say how it ended, and wait for Enter."""
        self._over = True
        self.failure = failure
        word = self.query_one("#end", Static)
        if failure is None:
            done = self._seen.get(Stage.DONE, Progress(Stage.DONE))
            word.update("\n".join(part for part in (done.note, GOOD_END) if part))
        else:
            word.set_class(True, "failed")
            word.update("\n".join((*failure.lines(), BAD_END)))
        self.query_one("#keys", Static).update("Enter: go on")

    def action_leave(self) -> None:
        """Go on when it is over."""
        if self._over:
            self.post_message(self.Left())

    def _line(self, stage: Stage) -> str:
        progress = self._seen[stage]
        over = stage is not list(self._seen)[-1] or stage is Stage.DONE
        if progress.percent is None or over:
            return f"{stage}{' - done' if over and stage is not Stage.DONE else ''}"
        filled = progress.percent * WIDTH // 100
        return f"{stage}\n  [{'#' * filled}{'.' * (WIDTH - filled)}] {progress.percent:3} %"


GOOD_END: Final = "\nRemove the stick, then press Enter: the machine starts again."
BAD_END: Final = "\nPress Enter to go back to the beginning."
