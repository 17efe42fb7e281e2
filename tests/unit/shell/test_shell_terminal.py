"""What is found out about a terminal before anything is drawn on it."""

import fcntl
import os
import pty
import struct
import termios
import threading
from collections.abc import Iterator

import pytest

from llmos_shell.terminal import ASK_SIZE, Keeper, Line, Terminal, ask_size, prepare


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """The two ends of a pseudo terminal: the person's, and ours."""
    master, slave = pty.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def answering(master: int, answer: bytes) -> threading.Thread:
    """Be a terminal that answers the question for its size."""

    def serve() -> None:
        asked = b""
        while not asked.endswith(ASK_SIZE):
            asked += os.read(master, 100)
        os.write(master, answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def size(fd: int) -> tuple[int, ...]:
    return struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8))[:2]


def test_the_terminal_is_asked_for_its_size(ends: tuple[int, int]) -> None:
    master, slave = ends
    thread = answering(master, b"\x1b[43;132R")
    assert ask_size(slave) == (132, 43)
    thread.join()


def test_keys_typed_meanwhile_do_not_confuse_the_answer(ends: tuple[int, int]) -> None:
    master, slave = ends
    thread = answering(master, b"ls\x1b[A\x1b[24;80R")
    assert ask_size(slave) == (80, 24)
    thread.join()


def test_an_answer_that_cannot_be_right_is_not_believed(ends: tuple[int, int]) -> None:
    master, slave = ends
    thread = answering(master, b"\x1b[1;1R")
    assert ask_size(slave) is None
    thread.join()


def test_a_serial_line_without_a_size_gets_the_one_that_its_terminal_has(
    ends: tuple[int, int],
) -> None:
    master, slave = ends
    thread = answering(master, b"\x1b[50;100R")
    found = prepare(slave, {"TERM": "vt220"})
    thread.join()
    assert found is not None
    assert size(slave) == (50, 100)


def test_silence_means_80_by_24(ends: tuple[int, int]) -> None:
    _, slave = ends
    found = prepare(slave, {"TERM": "vt220"})
    assert found == Terminal(Line.EMULATOR, "vt220")
    assert size(slave) == (24, 80)


def test_a_terminal_without_a_name_is_a_vt220_when_it_answers(ends: tuple[int, int]) -> None:
    master, slave = ends
    for env in ({"TERM": "dumb"}, {}):
        thread = answering(master, b"\x1b[24;80R")
        found = prepare(slave, env)
        thread.join()
        assert found is not None
        assert found.term == "vt220"


def test_a_terminal_without_a_name_that_is_silent_cannot_show_the_session(
    ends: tuple[int, int],
) -> None:
    assert prepare(ends[1], {"TERM": "dumb"}) is None


@pytest.mark.parametrize(
    ("device", "line"),
    [
        ("/dev/tty1", Line.CONSOLE),
        ("/dev/console", Line.CONSOLE),
        ("/dev/ttyS0", Line.SERIAL),
        ("/dev/hvc0", Line.SERIAL),
        ("/dev/ttyUSB1", Line.SERIAL),
        ("/dev/pts/3", Line.EMULATOR),
    ],
)
def test_the_device_tells_the_kind_of_line(device: str, line: Line) -> None:
    assert Line.of(device) is line


def test_slow_lines_get_few_pictures_and_plain_ones_eight_colours() -> None:
    serial = Terminal(Line.SERIAL, "vt220").environment()
    assert serial["TEXTUAL_FPS"] == "5"
    assert serial["TEXTUAL_COLOR_SYSTEM"] == "standard"
    assert "TEXTUAL_COLOR_SYSTEM" not in Terminal(Line.EMULATOR, "xterm-256color").environment()
    assert not Terminal(Line.CONSOLE, "linux").rich
    assert not Terminal(Line.SERIAL, "xterm").rich


def test_a_spoilt_terminal_is_brought_back(ends: tuple[int, int]) -> None:
    master, slave = ends
    keeper = Keeper(slave)
    before = termios.tcgetattr(slave)
    spoilt = termios.tcgetattr(slave)
    spoilt[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
    termios.tcsetattr(slave, termios.TCSANOW, spoilt)
    keeper.restore()
    assert termios.tcgetattr(slave)[3] == before[3]
    said = os.read(master, 1000)
    assert b"\x1b[?1049l" in said
    assert b"\x1b[?25h" in said
