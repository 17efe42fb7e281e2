"""The installer on real terminals: what a person sees and types."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.tmux_screen import Screen

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]
Open = Callable[..., Screen]


@pytest.fixture
def open_screen(tmp_path: Path) -> Iterator[Open]:
    """Open terminals with the installer; they are closed afterwards."""
    screens: list[Screen] = []

    def opened(term: str, *arguments: str) -> Screen:
        program = [sys.executable, "-m", "tests.integration.installer_screens", *arguments]
        path = ":".join(str(ROOT / part) for part in ("", "services", "image"))
        env = {"PYTHONPATH": path, "TEXTUAL_COLOR_SYSTEM": "standard"}
        screens.append(Screen(term=term, env=env, home=tmp_path, program=program))
        return screens[-1]

    yield opened
    for screen in screens:
        screen.close()


@pytest.mark.parametrize("term", ["linux", "vt220", "xterm-256color"])
def test_the_whole_way_on_every_kind_of_terminal(open_screen: Open, term: str) -> None:
    screen = open_screen(term)
    screen.sees(r"Install to which disk\?", r"vda: 64 GB", r"not possible: this system was started")
    screen.press("Enter")
    screen.sees(r"Encrypt your data\?")
    screen.press("Enter")
    screen.sees(r"Name of the first user")
    screen.press("Enter")
    screen.sees(r"Everything on vda: 64 GB.*ERASED", r"Type vda to erase it")
    screen.type("sda")
    screen.sees(r"That is not vda: nothing is erased")
    screen.press("BSpace", "BSpace", "BSpace")
    screen.type("vda")
    screen.sees(r"Installed", r"Remove the stick")
    assert screen.text.isascii()
    screen.press("Enter")
    screen.sees(r"^ended with None$")


def test_line_by_line_on_a_terminal_that_can_do_no_more(open_screen: Open) -> None:
    screen = open_screen("dumb", "--plain")
    screen.sees(r"^ +-  sda: .* not possible", r"^ +2  vda", r"goes back\) >")
    for answer in ("2", "1", "", "vda"):
        screen.type(answer)
    screen.sees(r"^Copying the system 100 %$", r"^Installed$", r"the shell has ended: 0")
