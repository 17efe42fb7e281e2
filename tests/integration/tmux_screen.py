"""A real terminal: tmux shows what a person would see, and types what a person would type."""

import contextlib
import re
import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

PATIENCE = 60.0
COMMANDS = Path(sys.executable).parent
SHELL = (str(COMMANDS / "llmos-shell"),)


class Screen:
    """A terminal of 80 by 24 with a program in it."""

    def __init__(
        self, *, term: str, env: dict[str, str], home: Path, program: Sequence[str] = SHELL
    ) -> None:
        self._server = f"llmos-{uuid.uuid4().hex[:8]}"
        settings = {"TERM": term, "HOME": str(home), "LANG": "C.UTF-8", **env}
        words = ["env", "-u", "LLMOS_SHELL", *(f"{k}={v}" for k, v in settings.items())]
        command = shlex.join([*words, *program])
        size = ["-x", "80", "-y", "24"]
        self.tmux("-f", "/dev/null", "new-session", "-d", *size, "-c", str(home),
                  f"{command}; echo the shell has ended: $?; exec sleep 1000")  # fmt: skip

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-L", self._server, *arguments], capture_output=True,
                              text=True, check=True, timeout=30)  # fmt: skip
        return done.stdout

    @property
    def text(self) -> str:
        return self.tmux("capture-pane", "-p")

    def type(self, text: str, *, enter: bool = True) -> None:
        self.tmux("send-keys", "-l", text)
        if enter:
            self.press("Enter")

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def sees(self, *patterns: str) -> None:
        """Wait until all the regular expressions match something on the screen."""
        self.until(lambda text: all(re.search(p, text, re.MULTILINE) for p in patterns))

    def until(self, true: Callable[[str], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true(text := self.text):
            if time.monotonic() > deadline:
                pytest.fail(f"not seen; the screen shows:\n{text}")
            time.sleep(0.05)

    def children(self) -> tuple[int, int]:
        """The login process and the session that it watches over."""
        pane = int(self.tmux("display-message", "-p", "#{pane_pid}"))
        login = _child(pane)
        return login, _child(login)

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.tmux("kill-server")


def _child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
