"""The order of versions."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_image.versions import compare, newest_first

# From the specification, oldest first.
ORDER = [
    "122~rc1",
    "122",
    "123-a",
    "123-a.1",
    "123-1",
    "123-1.1",
    "123^post1",
    "123.a-1",
    "123.1-1",
]
ORDER += ["123a-1", "124-1"]
VERSIONS = st.text("0123456789ab~-^.", max_size=8)


def test_the_specifications_own_example_is_in_order() -> None:
    assert newest_first(ORDER) == ORDER[::-1]
    for older, newer in itertools.combinations(ORDER, 2):
        assert compare(older, newer) < 0, (older, newer)


@pytest.mark.parametrize(("one", "two"), [("1", "1"), ("1", "01"), ("", ""), ("1_", "1")])
def test_some_versions_are_the_same(one: str, two: str) -> None:
    assert compare(one, two) == 0


@given(VERSIONS, VERSIONS, VERSIONS)
def test_it_is_an_order(one: str, two: str, three: str) -> None:
    assert compare(one, two) == -compare(two, one)
    if compare(one, two) <= 0 and compare(two, three) <= 0:
        assert compare(one, three) <= 0
