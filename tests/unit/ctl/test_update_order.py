"""Which version is newer, and how a kernel image's name counts its tries."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_ctl.update import versions
from llmos_ctl.update.tries import KernelImage, Tries

# From the UAPI group's Version Format Specification, the oldest first.
IN_ORDER = (
    "122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1", "123^post1",
    "123.a-1", "123.1-1", "123a-1", "124-1",
)  # fmt: skip
VERSION = st.from_regex(r"[0-9][A-Za-z0-9.~-]{0,12}", fullmatch=True)


def test_versions_are_in_the_order_of_the_specification() -> None:
    assert sorted(set(IN_ORDER), key=versions.key) == list(IN_ORDER)
    assert all(versions.is_newer(new, than=old) for old, new in pairwise(IN_ORDER))


@pytest.mark.parametrize(
    ("old", "new"),
    [("0.9.0", "0.10.0"), ("1~rc1", "1"), ("1", "1.1"), ("1B", "1a"), ("2024", "20240101")],
)
def test_a_newer_version_is_newer(old: str, new: str) -> None:
    assert versions.compare(old, new) < 0 < versions.compare(new, old)


@pytest.mark.parametrize("same", [("1.0", "1.00"), ("01", "1"), ("_1", "1"), ("1.0é", "1.0")])
def test_some_versions_are_written_in_two_ways(same: tuple[str, str]) -> None:
    assert versions.compare(*same) == 0


@given(st.lists(VERSION | st.text(max_size=8), min_size=3, max_size=3))
def test_the_order_is_one(some: list[str]) -> None:
    """Antisymmetric and transitive, so that sorting means something."""
    for one, other in product(some, repeat=2):
        assert versions.compare(one, other) == 0 or (
            (versions.compare(one, other) < 0) == (versions.compare(other, one) > 0)
        )
    low, middle, high = sorted(some, key=versions.key)
    assert versions.compare(low, middle) <= 0
    assert versions.compare(middle, high) <= 0
    assert versions.compare(low, high) <= 0


def test_a_version_of_ten_thousand_digits_is_only_long() -> None:
    assert versions.is_newer("1" * 10_000, than="9" * 9_999)


TRIES = st.none() | st.builds(Tries, st.integers(0, 999), st.integers(0, 999))


@given(VERSION, TRIES)
def test_a_kernel_images_name_is_read_as_it_was_written(version: str, tries: Tries | None) -> None:
    image = KernelImage("llmos", version, tries)
    assert KernelImage.of(image.name, "llmos") == image


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("llmos_1.efi", KernelImage("llmos", "1")),
        ("llmos_1+3.efi", KernelImage("llmos", "1", Tries(3))),
        ("llmos_1+2-1.efi", KernelImage("llmos", "1", Tries(2, 1))),
        ("llmos_1-2+0-3.efi", KernelImage("llmos", "1-2", Tries(0, 3))),
        ("llmos-vm_1.efi", None),
        ("other_1.efi", None),
        ("llmos_.efi", None),
        ("llmos_1.efi.bak", None),
        (".#sysupdatellmos_2+3-0.efi9f17", None),
    ],
)
def test_only_kernel_images_of_this_system_count(name: str, image: KernelImage | None) -> None:
    assert KernelImage.of(name, "llmos") == image


@given(st.text(max_size=30))
def test_no_file_name_is_too_odd_to_read(name: str) -> None:
    image = KernelImage.of(name, "llmos")
    assert image is None or image.version
