"""The line at which everything is typed: requests, commands, answers, input for a command."""

from enum import Enum
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Key
from textual.geometry import Offset
from textual.message import Message
from textual.widgets import Input, Static


class Mode(Enum):
    """Whom a typed line is for."""

    READY = "ready"
    THINKING = "thinking"
    CONFIRM = "confirm"
    RUNNING = "running"

    def marker(self, place: str) -> str:
        """Return what stands before the line; ``place`` is the folder."""
        match self:
            case Mode.READY:
                return f"llmos {place} > "
            case Mode.THINKING:
                return "thinking > "
            case Mode.CONFIRM:
                return "run it? > "
            case Mode.RUNNING:
                return "input > "


class Line(Input):
    """An input that leaves the keys with a meaning of their own to the prompt."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # Some serial terminals send a line feed for Enter.
        Binding("enter,ctrl+j", "screen.enter", show=False),
        Binding("up", "screen.older", show=False),
        Binding("down", "screen.newer", show=False),
        Binding("tab", "screen.complete", show=False),
        Binding("ctrl+c", "screen.stop", show=False),
        Binding("ctrl+d", "screen.end_of_input", show=False),
        Binding("ctrl+l", "screen.clear", show=False),
        Binding("escape", "screen.cancel", show=False),
        Binding("pageup", "screen.page(-1)", show=False),
        Binding("pagedown", "screen.page(1)", show=False),
    ]

    class EditWanted(Message):
        """`e` was pressed at a plan."""

    asking = False
    """Whether the line waits for an answer to a plan."""

    @property
    def cursor_screen_offset(self) -> Offset:
        """Where the terminal's own cursor belongs; Textual is one off behind the last letter."""
        offset = super().cursor_screen_offset
        behind = self.cursor_position == len(self.value)
        return Offset(offset.x - behind, offset.y)

    async def on_key(self, event: Key) -> None:
        """Do what a key means now, in its turn, and take `e` at a plan for a key.

        Textual hands keys with a meaning on to the parents, one after the other, and puts letters
        in at once: what was typed fast, or on a slow machine, would come out in another order.
        """
        if self.asking and event.character == "e" and not self.value:
            event.prevent_default()
            event.stop()
            self.post_message(self.EditWanted())
        elif bindings := self._bindings.key_to_bindings.get(event.key):
            event.prevent_default()
            event.stop()
            await self.run_action(bindings[0].action)


class Prompt(Horizontal):
    """The marker and the line."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = Mode.READY
        self._draft = ""

    def compose(self) -> ComposeResult:
        """Lay out marker and line."""
        yield Static("", id="marker", markup=False)
        yield Line(compact=True, select_on_focus=False)

    def on_mount(self) -> None:
        """Take the keys; a blinking cursor would keep the processor awake."""
        self.line.cursor_blink = False
        self.line.focus()

    @property
    def line(self) -> Line:
        """The input itself."""
        return self.query_one(Line)

    @property
    def text(self) -> str:
        """What is typed now."""
        return self.line.value

    def set_text(self, text: str) -> None:
        """Put ``text`` at the prompt, the cursor behind it."""
        self.line.value = text
        self.line.cursor_position = len(text)

    def take_text(self) -> str:
        """Return what is typed, and empty the line."""
        text = self.line.value
        self.set_text("")
        return text

    def switch(self, mode: Mode, place: str) -> None:
        """Turn to another purpose.

        What was typed ahead must never become the answer to a question that had not been
        asked yet: it is put away, and comes back when the prompt is free again.
        """
        if mode is Mode.CONFIRM:
            self._draft = self.take_text()
        elif mode is Mode.READY and self._draft and not self.text:
            self.set_text(self._draft)
            self._draft = ""
        self.mode = mode
        self.line.asking = mode is Mode.CONFIRM
        self.line.password = False
        self.show_place(place)

    def show_place(self, place: str) -> None:
        """Show the marker for the folder ``place``."""
        widget = self.query_one("#marker", Static)
        widget.update(self.mode.marker(_short(place)))
        widget.set_class(self.mode is Mode.CONFIRM, "asks")


def _short(place: str, most: int = 30) -> str:
    """Shorten a long path in the front: the end says where one is."""
    return place if len(place) <= most else "..." + place[3 - most :]
