"""The help: one page of what to type and which keys do what."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from llmos_shell.keys import HELP


class HelpScreen(Screen[None]):
    """Covers the conversation until it is closed."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, "dismiss", show=False) for key in ("escape", "f1", "q", "enter", "ctrl+c")
    ]

    def compose(self) -> ComposeResult:
        """Lay out the text; arrow keys scroll it."""
        with VerticalScroll():
            yield Static(HELP, markup=False)
