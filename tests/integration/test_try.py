"""`llmos-image try`: the real engine, the built-in model and the real shell, without a VM."""

import shutil
import sys
from pathlib import Path

import pytest

from llmos_image.build import Ground
from tests.integration.tmux_screen import Screen

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

_PROGRAM = (sys.executable, "-c", "from llmos_image.cli import main; main()", "try")


def test_a_person_tries_the_product_and_nothing_is_left(ground: Ground, tmp_path: Path) -> None:
    """The ground is only asked for so that the try need not make it."""
    home = tmp_path / "home"
    home.mkdir()
    env = {"LLMOS_CACHE": str(ground.tools.path.parents[2]), "TMPDIR": str(tmp_path)}
    screen = Screen(term="xterm-256color", env=env, home=home, program=_PROGRAM)
    try:
        screen.sees(r"^llmos ~ >", r"model: ready")
        screen.type("how much free disk space is there")
        screen.sees(r"^\$ df -h$", r"Enter: run")
        screen.press("Enter")
        screen.sees(r"^Filesystem +Size +Used +Avail +Use% +Mounted on", r"^exit 0\b")
        screen.type("show me the file Documents/notes.txt")
        screen.sees(r"^\$ cat Documents/notes\.txt$", r"Enter: run")
        screen.press("Enter")
        screen.sees(r"^Buy milk\.$")
        screen.type("exit")
        screen.sees(r"the shell has ended: 0")
    finally:
        screen.close()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
