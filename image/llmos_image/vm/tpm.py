"""A TPM 2.0 in software, for a machine that is to have one."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from llmos_image.vm.disk import quoted
from llmos_image.vm.errors import MachineError
from llmos_image.vm.process import QemuProcess, never_outlives_us
from llmos_image.vm.toolbox import Toolbox

_START_SECONDS = 20.0


@contextlib.contextmanager
def software_tpm(
    toolbox: Toolbox, folder: Path, log: Path, state: Path | None = None
) -> Iterator[list[str]]:
    """QEMU's options for a TPM that lives as long as the block.

    What it remembers is in ``state``, which may be kept for its next life, else in ``folder``.

    Raises:
        MachineError: swtpm did not start.
    """
    state = state or folder / "tpm"
    state.mkdir(exist_ok=True)
    control = folder / "tpm.sock"
    command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}"]
    command += ["--ctrl", f"type=unixio,path={control}"]
    process = QemuProcess(toolbox.argv(never_outlives_us(command), binds=[folder, state]), (), log)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not control.exists():
            if process.status is not None or time.monotonic() > deadline:
                raise MachineError(f"swtpm did not start: {log.read_text('utf-8', 'replace')}")
            time.sleep(0.05)
        yield [
            *("-chardev", f"socket,id=tpm,path={quoted(control)}"),
            *("-tpmdev", "emulator,id=tpm,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm"),
        ]
    finally:
        process.end()
