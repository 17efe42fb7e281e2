"""What the check of a new version found wrong, kept over restarts until the version is gone.

The check writes it (``llmos_ctl.boot_check``); ``llmosctl update status`` and the notice at the
start of a session tell it.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

FILE: Final = Path("var/lib/llmos/boot/failures.json")
_KEPT: Final = 20


class Failure(msgspec.Struct, frozen=True):
    """One start that was not good: ``when`` is UTC in ISO 8601."""

    version: str
    when: str
    reason: str


def read_failures(root: Path = Path("/")) -> tuple[Failure, ...]:
    """Return what is known, the latest last; a damaged record is none."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((root / FILE).read_bytes(), type=tuple[Failure, ...])
    return ()


def add_failure(failure: Failure, root: Path = Path("/")) -> None:
    """Keep one more, in one step."""
    path = root / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    kept = (*read_failures(root), failure)[-_KEPT:]
    with partial.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(kept)))
        file.flush()
        # The machine starts again right after this.
        os.fsync(file.fileno())
    partial.replace(path)


def reasons(root: Path = Path("/")) -> Mapping[str, str]:
    """The latest reason of each version that failed."""
    return {failure.version: failure.reason for failure in read_failures(root)}
