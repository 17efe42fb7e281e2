"""The serial console: log, waits, answers, and the end of the line."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_image.vm.deadline import Deadline
from llmos_image.vm.errors import DeadlinePassed, MachineDied
from llmos_image.vm.serial import Key, SerialConsole

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def guest(connection: Ends) -> socket.socket:
    connection[1].settimeout(20)
    return connection[1]


@pytest.fixture
def console(connection: Ends, tmp_path: Path) -> Iterator[SerialConsole]:
    console = SerialConsole(connection[0], tmp_path / "serial.log", Deadline.after(20))
    yield console
    console.close()


def test_text_that_appears_ends_the_wait(console: SerialConsole, guest: socket.socket) -> None:
    guest.sendall(b"booting...\r\nllmos ~ > ")
    console.wait_for_text("llmos ~ >")
    assert console.rows[:2] == ("booting...", "llmos ~ >")


def test_a_pattern_may_be_waited_for(console: SerialConsole, guest: socket.socket) -> None:
    guest.sendall(b"exit 0 (1.2 s)")
    console.wait_for_text(re.compile(r"exit \d"))


def test_text_that_scrolled_away_is_still_in_the_log(
    console: SerialConsole, guest: socket.socket
) -> None:
    guest.sendall(b"first line\r\n" + b"x\r\n" * 50 + b"end")
    console.wait_for_text("end")
    assert "first line" not in console.text
    console.wait_for_log("first line")


def test_the_log_can_be_read_from_a_mark_on(console: SerialConsole, guest: socket.socket) -> None:
    guest.sendall(b"before")
    console.wait_for_text("before")
    mark = console.position
    guest.sendall(b"after")
    console.wait_for_log("after", since=mark)
    assert console.log_text(mark) == "after"


def test_text_that_never_comes_shows_what_was_there_instead(
    console: SerialConsole, guest: socket.socket
) -> None:
    guest.sendall(b"Kernel panic")
    console.wait_for_text("panic")
    with pytest.raises(DeadlinePassed) as caught:
        console.wait_for_text("login:", seconds=0.05)
    assert "no 'login:' on the serial console" in str(caught.value)
    assert "| Kernel panic" in str(caught.value)
    assert "serial.log" in str(caught.value)


def test_text_may_be_waited_for_to_go_away(console: SerialConsole, guest: socket.socket) -> None:
    guest.sendall(b"Running...")
    console.wait_for_text("Running")
    guest.sendall(b"\x1b[2J\x1b[H")
    console.wait_for_no_text("Running")


def test_the_end_of_the_line_ends_a_wait_at_once(
    console: SerialConsole, guest: socket.socket
) -> None:
    guest.close()
    with pytest.raises(MachineDied, match="closed while waiting for 'login:'"):
        console.wait_for_text("login:", seconds=20)


def test_what_is_typed_reaches_the_guest(console: SerialConsole, guest: socket.socket) -> None:
    console.type_line("df -h")
    console.press(Key.CTRL_C, Key.UP)
    assert guest.recv(10, socket.MSG_WAITALL) == b"df -h\r\x03\x1b[A"


def test_a_query_for_the_size_is_answered(console: SerialConsole, guest: socket.socket) -> None:
    guest.sendall(b"\x1b[999;999H\x1b[6n")
    assert guest.recv(100) == b"\x1b[24;80R"


def test_the_log_holds_every_byte(connection: Ends, tmp_path: Path) -> None:
    ours, theirs = connection
    console = SerialConsole(ours, tmp_path / "serial.log", Deadline.after(20))
    theirs.sendall(b"\x1b[1mbold\x1b[0m\r\n\xff")
    console.wait_for_text("bold")
    theirs.close()
    console.close()
    assert (tmp_path / "serial.log").read_bytes() == b"\x1b[1mbold\x1b[0m\r\n\xff"
