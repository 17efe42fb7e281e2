"""Which stacks the engine has died in since the machine was started.

The file goes with the boot: a driver that fails today may work after an update, and an engine
that dies in it once more costs a few seconds.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from llmos_api.hardware import Stack

RESULTS: Final = {
    "core-dump": "the engine crashed",
    "signal": "the engine crashed",
    "watchdog": "the engine hung",
    "timeout": "the engine did not end",
}
"""What systemd calls ends ($SERVICE_RESULT, systemd.exec(5)) that a driver may be the cause of."""


def read_failures(path: Path) -> Mapping[Stack, str]:
    """The stacks that have failed, and how; none where the file holds nothing that makes sense."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[Stack, str])
    except (OSError, msgspec.DecodeError):
        return {}


def add_failure(path: Path, stack: Stack, result: str) -> bool:
    """Write down that the engine ended with ``result`` in ``stack``.

    Returns whether that counts: the CPU has nothing below it, and not every end is a driver's
    fault.
    """
    if stack is Stack.CPU or result not in RESULTS:
        return False
    failures = {**read_failures(path), stack: RESULTS[result]}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(failures))
    partial.replace(path)
    return True
