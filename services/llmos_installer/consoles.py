"""An installation that nobody started by hand: told on every console, done by one of them."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass

import click

from llmos_installer.world import World, read


@dataclass(frozen=True, slots=True)
class Consoles:
    """The machine's consoles, when this process has one of them; else only its own output."""

    world: World

    def say(self, text: str) -> None:
        """Print a line; on the other consoles as well, whatever they are doing."""
        click.echo(text)
        for name in self._others():
            with contextlib.suppress(OSError):
                console = os.open(
                    self.world.dev / name, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
                )
                try:
                    os.write(console, f"{text}\r\n".encode())
                finally:
                    os.close(console)

    @contextlib.contextmanager
    def one_of_them(self) -> Iterator[bool]:
        """True for the first console; the others get False when that one has ended."""
        folder = self.world.run / "llmos-install"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / "unattended.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                first = True
            except BlockingIOError:
                fcntl.flock(lock, fcntl.LOCK_EX)
                first = False
            yield first

    def _others(self) -> tuple[str, ...]:
        # tty0 is whichever is in front; the installer has the first.
        known = read(self.world.sys / "class/tty/console/active").split()
        active = ["tty1" if name == "tty0" else name for name in known]
        try:
            own = os.ttyname(1).removeprefix("/dev/")
        except OSError:
            return ()
        return tuple(name for name in active if name != own) if own in active else ()
