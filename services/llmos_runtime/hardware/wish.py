"""What the person asked for: ``llmos.stack=cpu`` on the kernel's command line, or a credential.

A credential of that name comes from ``/etc/credstore/llmos.stack``, or from the firmware of a
virtual machine (systemd.system-credentials(7)).
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from llmos_api.hardware import Stack

WORD: Final = "llmos.stack"


def wanted_stack(root: Path = Path("/"), env: Mapping[str, str] = os.environ) -> Stack | None:
    """The best stack that the person allows; a word that names none is passed over."""
    words = _read(root / "proc/cmdline").split()
    said = [word.partition("=")[2] for word in words if word.startswith(f"{WORD}=")]
    if not said and (folder := env.get("CREDENTIALS_DIRECTORY")):
        said = _read(Path(folder) / WORD).split()
    with suppress(ValueError):
        return Stack(said[-1]) if said else None
    return None


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""
