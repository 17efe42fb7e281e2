"""The date that files say instead of the clock's."""

import datetime
from pathlib import Path

import pytest

from llmos_image.errors import UserError
from llmos_image.places import SOURCE
from llmos_image.sourcedate import source_date


def test_the_variable_of_reproducible_builds_wins(tmp_path: Path) -> None:
    found = source_date(tmp_path, {"SOURCE_DATE_EPOCH": "86400"})
    assert found == datetime.datetime(1970, 1, 2, tzinfo=datetime.UTC)
    with pytest.raises(UserError, match="SOURCE_DATE_EPOCH: 'soon'"):
        source_date(tmp_path, {"SOURCE_DATE_EPOCH": "soon"})


def test_without_it_the_last_commit_counts_and_never_the_clock(tmp_path: Path) -> None:
    assert source_date(SOURCE, {}) == source_date(SOURCE, {})
    assert source_date(tmp_path, {}) == source_date(tmp_path, {})
