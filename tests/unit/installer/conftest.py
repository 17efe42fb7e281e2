"""A machine in a folder for the installer's tests."""

from pathlib import Path

import pytest

from tests.unit.installer.fake_machine import FakeMachine


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    """A machine without disks."""
    return FakeMachine(tmp_path / "machine")
