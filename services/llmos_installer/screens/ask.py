"""One question: what it is about, the answers to choose from or a line to type on."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.events import Key
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option as Row

from llmos_installer.errors import BadInput
from llmos_installer.interview import Interview, Question, Refused
from llmos_installer.plan import InstallPlan

HEAD = "LLMOS: install to a disk"
KEYS = "Enter: go on    Esc: back    Ctrl-C: leave, nothing is changed"


class Line(Input):
    """A line to type on."""

    async def on_key(self, event: Key) -> None:
        """Do what a key means now, in its turn.

        Textual hands keys with a meaning on to the parents, one after the other, and puts letters
        in at once: what was typed fast, or on a slow machine, would come out in another order.
        """
        if bindings := self._bindings.key_to_bindings.get(event.key):
            event.prevent_default()
            event.stop()
            await self.run_action(bindings[0].action)


class AskScreen(Screen[None]):
    """Shows the interview's question, and the next one when it is answered."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", show=False, priority=True)]

    class Agreed(Message):
        """Everything is answered and confirmed."""

        def __init__(self, plan: InstallPlan) -> None:
            super().__init__()
            self.plan = plan

    def __init__(self, interview: Interview) -> None:
        super().__init__()
        self._interview = interview

    def compose(self) -> ComposeResult:
        """Lay out the question; what it has no use for is hidden."""
        yield Static(HEAD, id="head", markup=False)
        with Vertical(id="middle"):
            with VerticalScroll(id="about", can_focus=False):
                yield Static("", id="text", markup=False)
            yield Static("", id="title", markup=False)
            yield OptionList(id="options", markup=False)
            yield Line(id="line", compact=True)
            yield Static("", id="refused", markup=False)
        yield Static(KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        """Ask the first question; a blinking cursor would keep a serial line busy."""
        self.query_one(Input).cursor_blink = False
        self._ask()

    def action_back(self) -> None:
        """Return to the question before."""
        if self._interview.back():
            self._ask()
        else:
            self._refuse("This is the first question. Ctrl-C leaves.")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take a choice."""
        self._answer(event.option_id or "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take a typed answer."""
        self._answer(event.value)

    def _answer(self, text: str) -> None:
        step = self._step()
        try:
            self._interview.answer(text)
            self._ask()
        except (Refused, BadInput) as refused:
            if self._step() != step:  # it went back by itself
                self._ask()
            self._refuse(str(refused))

    def _step(self) -> str:
        question = self._interview.question
        return "" if question is None else question.step

    def _ask(self) -> None:
        question = self._interview.question
        if question is None:
            self.post_message(self.Agreed(self._interview.plan))
            return
        self._refuse("")
        self.query_one("#title", Static).update(question.title)
        self.query_one("#text", Static).update("\n".join(question.text))
        self.query_one("#about").display = bool(question.text)
        self._offer(question)

    def _offer(self, question: Question) -> None:
        options, line = self.query_one(OptionList), self.query_one(Input)
        options.display, line.display = bool(question.options), not question.options
        if question.options:
            options.clear_options()
            for option in question.options:
                why = f"\n  not possible: {option.why_not}" if option.why_not else ""
                options.add_option(
                    Row(option.label + why, id=option.value, disabled=bool(option.why_not))
                )
            possible = [not option.why_not for option in question.options]
            options.highlighted = possible.index(True) if any(possible) else None
            options.focus()
        else:
            line.value = ""
            line.password = question.secret
            line.focus()

    def _refuse(self, why: str) -> None:
        self.query_one("#refused", Static).update(why)
