"""What ``llmosctl`` says when something cannot be done, and the exit status that goes with it.

CtlError (exit 1)         the machine could not do it
└── UsageError (exit 2)   what the person asked for is not right
"""


class CtlError(Exception):
    """One message for the person: what is wrong and where; ``hint`` is what to do next."""

    exit_code = 1

    def __init__(self, what: str, *, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class UsageError(CtlError):
    """Bad input: an argument, a file, a setting."""

    exit_code = 2
