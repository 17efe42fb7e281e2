"""The login shell: becomes bash for scripts, and watches over the session for a person.

Only this module runs in the process that login started. It imports next to nothing, forks
the session, and waits: whatever happens to the session, the person still gets a shell.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from llmos_shell.terminal import Terminal

USAGE: Final = """\
usage: llmos-shell [-l]            start a session on this terminal
       llmos-shell -c COMMAND …    run a command; every other argument goes to bash, too
       llmos-shell --help | --version

The session takes requests in plain words as well as commands: it shows the command it
would run, what that does and how risky it is, and runs it only when you agree.

environment:
  LLMOS_SHELL=bash       become bash at once, whatever the arguments
  LLMOS_ENGINE_SOCKET    socket of the engine (default /run/llmos/engine.sock)

examples:
  llmos-shell                         a session here
  llmos-shell -c 'df -h'              as ssh and scripts call it
  LLMOS_SHELL=bash llmos-shell        a plain bash
"""

SESSION_ARGUMENTS: Final = frozenset({"-l", "--login", "-i"})
FORWARDED: Final = (signal.SIGTERM, signal.SIGHUP)
IGNORED: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTOU)
REASON_LENGTH: Final = 2_000
HUNG_UP: Final = 129
"""The session's status when its terminal is gone: 128 + SIGHUP, as bash counts."""


def main() -> NoReturn:
    """Run as `llmos-shell`."""
    arguments = sys.argv[1:]
    if arguments == ["--help"]:
        print(USAGE, end="")  # the one place that prints
        sys.exit(0)
    if arguments == ["--version"]:
        from importlib.metadata import version  # noqa: PLC0415 - scripts do not wait for it

        print(f"llmos-shell {version('llmos')}")
        sys.exit(0)
    if not wants_session(arguments, os.environ):
        become_bash(arguments)
    sys.exit(session())


def wants_session(arguments: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether a person sits there: everything else is a matter for bash."""
    if env.get("LLMOS_SHELL") == "bash":
        return False
    if not SESSION_ARGUMENTS.issuperset(arguments):
        return False
    return all(os.isatty(fd) for fd in (0, 1, 2))


def become_bash(arguments: Sequence[str], reason: str = "") -> NoReturn:
    """Replace this process by bash, with the same arguments."""
    if reason:
        print(reason, file=sys.stderr, flush=True)
    for path in ("/bin/bash", "/usr/bin/bash", "/bin/sh"):
        with contextlib.suppress(OSError):
            os.execv(path, [path.rpartition("/")[2], *arguments])  # noqa: S606 - that is its job
    print("llmos-shell: there is no bash and no sh on this system", file=sys.stderr)
    sys.exit(127)


def session() -> int:
    """Run a session to its end; returns only when the person has left it."""
    from llmos_shell.terminal import Keeper, prepare  # noqa: PLC0415 - scripts do not need it

    terminal = prepare(0, os.environ)
    if terminal is None:
        become_bash(["-l"], "llmos-shell: this terminal cannot show the session: here is bash.")
    os.environ.update(terminal.environment())
    for name in ("COLUMNS", "LINES"):  # the terminal knows better, and may be resized
        os.environ.pop(name, None)
    keeper = Keeper(0)
    ears, mouth = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ears)
        _be_the_session(terminal, mouth)
    os.close(mouth)
    status = _watch(child)
    reason = os.read(ears, REASON_LENGTH).decode(errors="replace").strip()
    os.close(ears)
    if status in {0, HUNG_UP}:  # left, or nobody is there who could use a bash
        return status
    keeper.restore()
    for number in (*IGNORED, *FORWARDED):
        signal.signal(number, signal.SIG_DFL)
    _forget(terminal.environment())
    become_bash(["-l"], epitaph(status, reason))


def epitaph(status: int, reason: str) -> str:
    """Say why the session ended, and what the person has now."""
    if status < 0:
        with contextlib.suppress(ValueError):
            reason = f"killed by {signal.Signals(-status).name}"
    reason = reason or f"it ended with status {status}"
    return (
        f"llmos-shell: the session has ended: {reason}\n"
        "You are in bash now. Type llmos-shell to try again, exit to log out."
    )


def _be_the_session(terminal: "Terminal", mouth: int) -> NoReturn:
    """Run the user interface in the forked process."""
    code = 1
    reason = ""
    try:
        from llmos_shell.app import run  # noqa: PLC0415 - slow, and only wanted here

        code, reason = run(terminal)
    except KeyboardInterrupt:
        reason = "interrupted"
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError):
        os.write(mouth, reason.encode(errors="replace")[:REASON_LENGTH])
    # Not sys.exit: what the parent has registered is the parent's to clean up.
    os._exit(code)


def _watch(child: int) -> int:
    """Wait for the session; returns its exit status, negative for a death by signal."""

    def forward(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)
        sys.exit(128 + number)

    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for number in FORWARDED:
        signal.signal(number, forward)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _forget(changes: Mapping[str, str]) -> None:
    """Take what only the session needed out of the environment again."""
    for name in changes:
        if name != "TERM":
            os.environ.pop(name, None)


if __name__ == "__main__":
    main()
