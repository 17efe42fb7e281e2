"""What the tests of the engine share."""

from pathlib import Path

import pytest

from tests.unit.models.gguf_file import tiny_model


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with one model, the default."""
    tiny_model().write(tmp_path / "default.gguf")
    return tmp_path
