"""What tests of the store share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.models.model_files import IN_MEMORY


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory, in the place of pytest's own."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        yield Path(folder)
