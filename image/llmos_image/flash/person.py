"""Asking the person at the terminal, if there is one."""

import sys
from typing import Protocol

import click


class Person(Protocol):
    """Whoever answers."""

    @property
    def is_there(self) -> bool:
        """Whether anybody can see a question and answer it."""

    def ask(self, question: str) -> str:
        """What the person types, without blanks around it."""


class AtTerminal:
    """The person who started the program."""

    @property
    def is_there(self) -> bool:
        """A question goes to standard error: standard output may be for a program to read."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def ask(self, question: str) -> str:
        """See :class:`Person`."""
        answer: str = click.prompt(question, default="", show_default=False, err=True)
        return answer.strip()
