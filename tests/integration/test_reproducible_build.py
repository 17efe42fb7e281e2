"""The same sources give the same bytes: in another folder, from another cache, without layers."""

import os
import shutil
from collections.abc import Iterator

import pytest

from llmos_image.cache import default_root
from tests.bench.build import copy_cache, copy_checkout
from tests.bench.image import OUT, Built, build

pytestmark = [pytest.mark.integration, pytest.mark.long]

# Of no importance, but the same for both; a copied checkout has no history to ask.
DATE = "1790000000"


@pytest.fixture(scope="module")
def twice() -> Iterator[tuple[Built, Built]]:
    """Two clean builds that share nothing but downloaded packages and the compiled wheel."""
    OUT.mkdir(exist_ok=True)
    place = OUT / "reproducible"
    shutil.rmtree(place, ignore_errors=True)
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = DATE
    try:
        builds = []
        for name in ("one", "another/and/deeper"):
            work = place / name
            work.mkdir(parents=True)
            copy_checkout(work / "checkout")
            copy_cache(default_root(), work / "cache")
            made = build("vm", checkout=work / "checkout", out=work / "out", cache=work / "cache")
            builds.append(made)
        yield builds[0], builds[1]
    finally:
        os.environ.pop("SOURCE_DATE_EPOCH")
        if before is not None:
            os.environ["SOURCE_DATE_EPOCH"] = before
        shutil.rmtree(place, ignore_errors=True)


def test_two_clean_builds_are_the_same_to_the_last_bit(twice: tuple[Built, Built]) -> None:
    one, another = (built.disk.parent for built in twice)
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in another.iterdir())
    # It says when it was built; the list of checksums has its checksum.
    told = {"image.json", "SHA256SUMS"}
    differ = [n for n in names if (one / n).read_bytes() != (another / n).read_bytes()]
    assert set(differ) <= told
    assert any(name.endswith(".raw") for name in names)
