"""The installation line by line: for terminals that can do no more, braille and screen readers."""

import getpass
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from llmos_installer.errors import Interrupted
from llmos_installer.interview import Interview, Question, Refused
from llmos_installer.plan import InstallPlan
from llmos_installer.progress import Progress, Stage

BACK: Final = "<"
EVERY: Final = 10
"""Percent between two lines of progress."""


@dataclass
class Lines:
    """Asks on standard input, answers on standard output."""

    say: Callable[[str], None] = lambda text: print(text, flush=True)
    ask: Callable[[str], str] = input
    ask_secret: Callable[[str], str] = getpass.getpass
    _last: tuple[Stage | None, int] = field(default=(None, 0))

    def interview(self, interview: Interview) -> InstallPlan:
        """Ask all questions.

        Raises:
            Interrupted: the person left.
            BadInput: what was agreed cannot be.
        """
        while (question := interview.question) is not None:
            self._show(question)
            try:
                typed = self._read(question)
                if typed == BACK:
                    if not interview.back():
                        raise Interrupted
                    continue
                interview.answer(_value(question, typed))
            except Refused as refused:
                self.say(f"! {refused}")
            except (EOFError, KeyboardInterrupt):
                raise Interrupted from None
        return interview.plan

    def report(self, progress: Progress) -> None:
        """Say how far it is: each step, and each tenth of a long one."""
        percent = progress.percent or 0
        stage, before = self._last
        if progress.stage is stage and percent < before + EVERY and percent != 100:
            return
        if (progress.stage, percent) != self._last:
            shown = f" {percent} %" if progress.total else ""
            self.say(f"{progress.stage}{shown}")
            if progress.note:
                self.say(progress.note)
        self._last = (progress.stage, percent)

    def _show(self, question: Question) -> None:
        self.say("")
        for line in question.text:
            self.say(line)
        for index, option in enumerate(question.options, start=1):
            sign = "-" if option.why_not else str(index)
            why = f" -- not possible: {option.why_not}" if option.why_not else ""
            self.say(f"  {sign:>2}  {option.label}{why}")
        self.say(question.title + (" (a number)" if question.options else ""))

    def _read(self, question: Question) -> str:
        prompt = f"({BACK} goes back) > "
        return self.ask_secret(prompt) if question.secret else self.ask(prompt).strip()


def _value(question: Question, typed: str) -> str:
    if not question.options:
        return typed
    if typed.isdecimal() and 1 <= int(typed) <= len(question.options):
        return question.options[int(typed) - 1].value
    return typed
