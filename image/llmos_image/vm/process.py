"""QEMU as a child process: it never outlives us, and its last words are kept."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from llmos_image.errors import HostError
from llmos_image.vm.errors import MachineDied

_LAST_LINES = 20
# QEMU closes its sockets a moment before it is gone.
_PARTING_SECONDS = 5.0


class QemuProcess:
    """A running QEMU that leads a process group of its own."""

    def __init__(self, argv: Sequence[str], descriptors: Sequence[int], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            try:
                self._process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=descriptors,
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise HostError(
                    f"{error.filename}: no such program", hint="Run ./build.sh first."
                ) from None

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group's."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status; none while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> bool:
        """Whether it ended within ``seconds``."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def death(self, what: str) -> MachineDied:
        """The error for ``what``, with what QEMU said last."""
        if not self.wait(_PARTING_SECONDS):
            return MachineDied(what, hint="QEMU itself is still running")
        lines = self._log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]
        said = "\n".join(f"  {line}" for line in lines) or "  (nothing)"
        return MachineDied(
            f"{what}: QEMU ended with status {self.status}", hint=f"It said:\n{said}"
        )

    def end(self) -> None:
        """End it and everything it started, gently first."""
        for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            if self.status is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            self.wait(patience)


def never_outlives_us(command: Sequence[str]) -> list[str]:
    """``command``, killed by the kernel should this process be killed."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *command]
