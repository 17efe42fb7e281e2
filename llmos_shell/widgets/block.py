"""One line and all that came of it: the request, the plan, the output, how it ended."""

from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from llmos_shell.errors import ShellError
from llmos_shell.highlight import Role, highlight
from llmos_shell.runner import Outcome
from llmos_shell.session import Proposal
from llmos_shell.widgets.output import Output

ROLE_STYLES = {
    Role.PROGRAM: "bold",
    Role.OPTION: "$command-option",
    Role.STRING: "$command-string",
    Role.OPERATOR: "bold $command-operator",
    Role.OTHER: "",
}


def command_line(command: str) -> Content:
    """Return `$ command` in colours."""
    pieces = [Content.styled(text, ROLE_STYLES[role]) for text, role in highlight(command)]
    return Content("$ ") + Content("").join(pieces)


class Block(Vertical):
    """A piece of the conversation; it grows downwards."""

    DEFAULT_CSS = """
    Block { height: auto; margin: 0 0 1 0; }
    Block > Static { height: auto; width: 1fr; }
    """

    def __init__(self, *, rich_colours: bool) -> None:
        super().__init__()
        self._rich = rich_colours
        self.output: Output | None = None
        self._ask: Static | None = None

    async def say(self, text: str, *, kind: str = "note") -> Static:
        """Add a line of the shell's own."""
        line = Static(text, classes=kind, markup=False)
        await self.mount(line)
        return line

    async def show_request(self, request: str) -> None:
        """Show what was asked."""
        await self.say(f"> {request}", kind="request")

    async def show_command(self, command: str) -> None:
        """Show a command that runs without a plan."""
        await self.mount(Static(command_line(command), classes="command"))

    async def show_proposal(self, proposal: Proposal) -> None:
        """Show a plan: what the model says, the command, what it does, and its risk."""
        if proposal.say:
            await self.say(proposal.say, kind="say")
        risk = proposal.risk
        label = risk.word + (f": {proposal.because}" if proposal.because else "")
        facts = Content.assemble(
            f"{proposal.does} " if proposal.does else "", (f"[{label}]", f"bold ansi_{risk.colour}")
        )
        await self.mount(
            Static(command_line(proposal.command), classes="command"),
            Static(facts, classes=f"facts risk-{risk.value}"),
        )
        self._ask = await self.say(risk.invitation, kind="ask")

    async def settle(self, text: str = "") -> None:
        """Take the question away once it is answered; ``text`` says how, if that matters."""
        ask, self._ask = self._ask, None
        if ask is not None:
            await ask.remove()
        if text:
            await self.say(text)

    async def show_problem(self, error: ShellError) -> None:
        """Show what went wrong, and what to do."""
        await self.say(error.what, kind="problem")
        if error.hint:
            await self.say(error.hint)

    async def begin_output(self) -> Output:
        """Make room for the output of a command."""
        self.output = Output(rich_colours=self._rich)
        await self.mount(self.output)
        return self.output

    async def show_outcome(self, outcome: Outcome) -> None:
        """Show how the command ended."""
        kind = "done" if outcome.status == 0 else "failed"
        await self.say(outcome.text, kind=f"outcome {kind}")
