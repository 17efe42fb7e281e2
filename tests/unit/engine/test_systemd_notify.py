"""systemd's protocols: sockets that are handed over, and words to the manager."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from llmos_api import Health, HealthStatus
from llmos_engine.notify import Notifier, take_sockets
from llmos_engine.server import SocketTaken, listening, status_line


def test_a_message_reaches_the_manager(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000", "A": "b"}
        notifier = Notifier.take(environ)
        notifier.send("READY=1", "STATUS=ready: m")
        assert manager.recv(100) == b"READY=1\nSTATUS=ready: m"
    assert notifier.watchdog == 3.0
    assert environ == {"A": "b"}


def test_an_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"llmos-test-{os.getpid()}"
        manager.bind(f"\0{name}")
        manager.settimeout(10)
        Notifier(f"@{name}").send("WATCHDOG=1")
        assert manager.recv(100) == b"WATCHDOG=1"


def test_outside_of_systemd_nothing_is_sent_and_nothing_fails(tmp_path: Path) -> None:
    Notifier.take({}).send("READY=1")
    Notifier(str(tmp_path / "none")).send("READY=1")
    assert Notifier.take({"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}).watchdog is None


@pytest.mark.parametrize(
    "environ",
    [{}, {"LISTEN_FDS": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"}, {"LISTEN_FDS": "x"}],
)
def test_sockets_for_another_process_are_left_alone(environ: dict[str, str]) -> None:
    assert take_sockets(environ) == []
    assert environ == {}


def test_a_socket_that_was_handed_over_is_used(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "os.dup2(int(sys.argv[1]), 3)\n"
        "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}\n"
        "from llmos_engine.notify import take_sockets\n"
        "(found,) = take_sockets(os.environ)\n"
        "print(found.getsockname(), os.get_inheritable(found.fileno()), 'LISTEN_FDS' in os.environ)"
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        done = subprocess.run(
            [sys.executable, "-c", code, str(listener.fileno())],
            pass_fds=[listener.fileno()],
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout == f"{tmp_path / 's'} False False\n"


def test_everybody_may_connect_and_the_socket_goes_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with listening(path):
        assert path.stat().st_mode & 0o777 == 0o666
    assert not path.exists()


def test_a_socket_that_a_dead_process_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening(path) as listener:
        listener.listen()


def test_a_socket_on_which_somebody_listens_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with listening(path) as listener:
        listener.listen()
        with pytest.raises(SocketTaken, match="another engine"), listening(path):
            pass
        assert path.exists()


@pytest.mark.parametrize(("name", "says"), [("file", "no socket"), ("none/x", "No such file")])
def test_a_place_that_cannot_be_listened_on_is_said(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(SocketTaken, match=says), listening(tmp_path / name):
        pass
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize(
    ("health", "line"),
    [
        (Health(HealthStatus.OK, model="m"), "ready: m"),
        (Health(HealthStatus.LOADING), "loading"),
        (Health(HealthStatus.LOADING, model="m"), "loading m"),
        (Health(HealthStatus.FAILED, error="why"), "no model: why"),
    ],
)
def test_the_state_is_one_line_for_systemctl_status(health: Health, line: str) -> None:
    assert status_line(health) == line
