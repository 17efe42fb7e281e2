"""What the tests of flashing share."""

from pathlib import Path

import pytest

from tests.unit.image.flash.fake_machine import FakeMachine


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    """A machine without disks."""
    return FakeMachine(tmp_path / "machine")
