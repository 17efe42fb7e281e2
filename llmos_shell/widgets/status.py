"""The last row: what Enter would do on the left, where the engine stands on the right."""

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Static

from llmos_shell.engine import Condition, EngineState


class StatusBar(Horizontal):
    """Two texts; the left one gives way when there is no room for both."""

    def compose(self) -> ComposeResult:
        """Lay out the two texts."""
        yield Static("", id="hint", markup=False)
        yield Static("", id="engine", markup=False)

    def show_hint(self, text: str) -> None:
        """Say what Enter would do."""
        self.query_one("#hint", Static).update(text)

    def show_engine(self, state: EngineState) -> None:
        """Say where the engine stands."""
        widget = self.query_one("#engine", Static)
        widget.update(state.text)
        trouble = state.condition in {Condition.AWAY, Condition.FAILED}
        widget.set_class(trouble, "trouble")
