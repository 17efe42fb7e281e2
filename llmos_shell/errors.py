"""Everything that can go wrong in the shell itself, as types.

ShellError
├── RunnerError       a command could not even be started
├── SettingsError     the settings file has a value that cannot be right
└── NoPlan            a request did not become a plan
    ├── EngineAway    nobody could be asked: the engine is down, loading or broken
    └── NotSure       the model's answer is not a command that could run here

``what`` is one sentence for a person; ``hint``, when there is one, says what to do next.
"""


class ShellError(Exception):
    """Something that the person should read, without a traceback."""

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class RunnerError(ShellError):
    """A command could not be started: no bash, no pseudo terminal, no process left."""


class SettingsError(ShellError):
    """A value in the settings file is not one of those that would be right."""


class NoPlan(ShellError):
    """A request did not become a plan."""


class EngineAway(NoPlan):
    """The engine gave no answer."""


class NotSure(NoPlan):
    """The engine answered, and nothing that could be run came of it."""
