"""Everything that can go wrong, as types.

    ImageError (exit 1)
    ├── UserError (exit 2)        something the person gave is wrong
    │   ├── SpecError             the spec: all its faults at once
    │   └── HostError             this machine lacks something
    ├── BuildFailed               a step of the build ended badly
    ├── VerifyFailed              files are not what their signer made
    ├── FlashFailed               a disk did not get the image; says in what state it is
    └── Interrupted (exit 130)    the person pressed Ctrl-C

Only ``llmos_image.cli`` turns one of these into an exit.
"""

from collections.abc import Sequence
from pathlib import Path


class ImageError(Exception):
    """A failure that is shown to the person as one message.

    ``what`` says what is wrong and where; ``hint`` says what to do next.
    """

    exit_code = 1

    def __init__(self, what: str, *, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n{self.hint}" if self.hint else self.what


class UserError(ImageError):
    """Bad input: an argument, a file, a setting."""

    exit_code = 2


class SpecError(UserError):
    """A spec with one or more faults, each on a line of its own."""

    def __init__(self, path: Path, faults: Sequence[str]) -> None:
        lines = "\n".join(f"  {fault}" for fault in faults)
        noun = "error" if len(faults) == 1 else "errors"
        super().__init__(f"{path}: {len(faults)} {noun}\n{lines}")
        self.faults = tuple(faults)


class HostError(UserError):
    """This machine cannot build or boot: a program, a right, space is missing."""


class BuildFailed(ImageError):
    """A step failed; ``log`` holds everything it printed."""

    def __init__(self, what: str, *, log: Path | None = None, hint: str | None = None) -> None:
        where = f"the whole log: {log}" if log else None
        super().__init__(what, hint="\n".join(part for part in (hint, where) if part) or None)
        self.log = log


class VerifyFailed(ImageError):
    """Files are not the ones that were signed, or nobody has signed them."""


class FlashFailed(ImageError):
    """A disk did not get the image; ``hint`` says in what state that leaves it."""


class Interrupted(ImageError):
    """Stopped by the person."""

    exit_code = 130

    def __init__(self, left: str = "nothing half-made was left behind") -> None:
        super().__init__(f"interrupted; {left}")
