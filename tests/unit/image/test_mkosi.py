"""What mkosi's words mean for a person."""

import pytest

from llmos_image.diagnosis import diagnose
from llmos_image.mkosi import step_of


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("cp: error writing 'x': No space left on device", "full"),
        ("Err:1 http://m trixie InRelease  Temporary failure resolving 'm'", "network"),
        ("E: The repository 'http://m x Release' does not have a Release file.", "suite"),
        ("Err:3 http://m trixie-debug InRelease 400  Bad Request", "suite"),
        ("E: Unable to locate package nosuch", "debian.packages"),
        ("E: The repository 'x' is not signed.", "signature"),
        ("Could not fit requested partitions into the image", "disk.root"),
    ],
)
def test_known_failures_say_what_to_do(line: str, word: str) -> None:
    assert word in str(diagnose(["‣ Installing Debian", line, "‣ failed"]))


def test_unknown_failures_are_not_guessed_at() -> None:
    assert diagnose(["something else"]) is None


def test_steps_are_told_from_output() -> None:
    assert step_of("‣  \x1b[1mInstalling Debian\x1b[0m…") == "Installing Debian"
    assert step_of("Setting up apt (3.0.4) ...") is None
