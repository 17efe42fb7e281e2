"""What the installer says when it cannot go on, and the exit status that goes with it.

InstallerError (exit 1)        a step failed; the disk that was to be written is left unbootable
├── NotHere                    this system is not one that can be installed from
├── BadInput (exit 2)          a choice or an answer is not right; nothing was touched
│   └── BadAnswers             the answer file: all its faults at once
└── Interrupted (exit 130)     stopped by the person
"""

from collections.abc import Sequence


class InstallerError(Exception):
    """One message for the person: what is wrong and where; ``hint`` is what to do next."""

    exit_code = 1

    def __init__(self, what: str, *, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def lines(self) -> tuple[str, ...]:
        """All that the person is told: the message, what to do, and what was noted on the way."""
        notes = getattr(self, "__notes__", ())
        return tuple(part for part in (self.what, *notes, self.hint) if part)


class NotHere(InstallerError):
    """The running system is not a verified one from a stick."""


class BadInput(InstallerError):
    """A choice that cannot be; nothing was touched."""

    exit_code = 2


class BadAnswers(BadInput):
    """An answer file with one or more faults, each on a line of its own."""

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        noun = "error" if len(faults) == 1 else "errors"
        lines = "\n".join(f"  {fault}" for fault in faults)
        super().__init__(
            f"{source}: {len(faults)} {noun}\n{lines}", hint="Nothing was installed or changed."
        )
        self.faults = tuple(faults)


class Interrupted(InstallerError):
    """Stopped by the person."""

    exit_code = 130

    def __init__(self, what: str = "interrupted; nothing was changed") -> None:
        super().__init__(what)
