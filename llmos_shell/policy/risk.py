"""How dangerous a command is, and what a person must do before it runs."""

from enum import Enum, unique
from typing import Final

YES: Final = frozenset({"y", "yes"})


@unique
class Risk(Enum):
    """The kinds of effect that a command may have, mildest first.

    The order decides what a line of several commands is: the last of its parts' kinds in
    this list. UNKNOWN stands above everything except certain loss: what is not understood
    is never waved through.
    """

    READ_ONLY = "read-only"
    NETWORK = "network"
    CHANGES_FILES = "changes-files"
    CHANGES_SYSTEM = "changes-system"
    UNKNOWN = "unknown"
    DESTRUCTIVE = "destructive"

    @property
    def severity(self) -> int:
        """The place in the order above, 0 for the mildest."""
        return list(Risk).index(self)

    @property
    def word(self) -> str:
        """What stands on the screen, so that colour is never the only sign."""
        return _WORDS[self]

    @property
    def colour(self) -> str:
        """One of the eight colours that every terminal has."""
        return _COLOURS[self]

    @property
    def runs_on_enter(self) -> bool:
        """Whether Enter alone is consent enough."""
        return self is Risk.READ_ONLY

    @property
    def invitation(self) -> str:
        """The line under a plan that says how to run it and how not to."""
        match self:
            case Risk.READ_ONLY:
                how = "Enter: run"
            case Risk.DESTRUCTIVE:
                how = "type yes and Enter: run"
            case _:
                how = "y and Enter: run"
        return f"{how}   e: edit   Esc: cancel"

    def consents(self, answer: str) -> bool:
        """Whether ``answer`` to the question "run it?" means yes for this risk."""
        answer = answer.strip().lower()
        match self:
            case Risk.READ_ONLY:
                return not answer or answer in YES
            case Risk.DESTRUCTIVE:
                return answer == "yes"
            case _:
                return answer in YES

    @classmethod
    def worst(cls, *risks: "Risk") -> "Risk":
        """Return the most severe; of none at all, READ_ONLY."""
        return max(risks, key=lambda risk: risk.severity, default=cls.READ_ONLY)


_WORDS: Final = {
    Risk.READ_ONLY: "reads only",
    Risk.NETWORK: "uses the network",
    Risk.CHANGES_FILES: "changes files",
    Risk.CHANGES_SYSTEM: "changes the system",
    Risk.UNKNOWN: "not understood",
    Risk.DESTRUCTIVE: "destroys data",
}

_COLOURS: Final = {
    Risk.READ_ONLY: "green",
    Risk.NETWORK: "cyan",
    Risk.CHANGES_FILES: "yellow",
    Risk.CHANGES_SYSTEM: "yellow",
    Risk.UNKNOWN: "magenta",
    Risk.DESTRUCTIVE: "red",
}
