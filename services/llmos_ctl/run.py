"""The one gate through which ``llmosctl`` starts other programs."""

import os
import shlex
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llmos_ctl.errors import CtlError

_DATAGRAM = 4096
_END = b"end"
# What programs say is read by patterns: in English, in plain text, here and not in the journal.
_PLAIN = {
    "LC_ALL": "C.UTF-8",
    "SYSTEMD_COLORS": "0",
    "SYSTEMD_LOG_LEVEL": "info",
    "SYSTEMD_LOG_TARGET": "console",
}


@dataclass(frozen=True)
class Done:
    """A program that has ended."""

    argv: tuple[str, ...]
    status: int
    out: str = ""
    err: str = ""

    @property
    def command(self) -> str:
        """Its command line, as a person would type it."""
        return shlex.join(self.argv)


class Run(Protocol):
    """Runs ``argv`` to its end.

    ``on_status`` gets each of the messages that the program sends to its service manager,
    as sd_notify(3) has them: fields by name.
    """

    def __call__(
        self, argv: Sequence[str], *, on_status: Callable[[Mapping[str, str]], None] | None = None
    ) -> Done: ...


def run_program(
    argv: Sequence[str],
    *,
    on_status: Callable[[Mapping[str, str]], None] | None = None,
    scratch: Path | None = None,
) -> Done:
    """Run ``argv`` on this machine; it must see the folder ``scratch``, for the status socket.

    Raises:
        CtlError: there is no such program.
    """
    if on_status is None:
        return _ended(argv, {})
    with _listening(on_status, scratch) as address:
        return _ended(argv, {"NOTIFY_SOCKET": str(address)})


def _ended(argv: Sequence[str], env: Mapping[str, str]) -> Done:
    try:
        done = subprocess.run(
            argv,
            env={**os.environ, **_PLAIN, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise CtlError(f"{argv[0]}: no such program on this machine") from None
    return Done(tuple(argv), done.returncode, done.stdout, done.stderr)


@contextmanager
def _listening(
    on_status: Callable[[Mapping[str, str]], None], scratch: Path | None
) -> Iterator[Path]:
    """The address of a socket whose messages go to ``on_status``."""
    with (
        tempfile.TemporaryDirectory(prefix="llmosctl-", dir=scratch) as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear,
    ):
        address = Path(folder, "notify")
        ear.bind(str(address))

        def listen() -> None:
            while (message := ear.recv(_DATAGRAM)) != _END:
                on_status(_fields(message))

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield address
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mouth:
                mouth.sendto(_END, str(address))
            listener.join()


def _fields(message: bytes) -> Mapping[str, str]:
    lines = message.decode(errors="replace").splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}
