"""How long a build takes: from no layer at all, again after a change, and by mkosi alone.

All run on a copy of the checkout and on a copy of the cache, so that nothing of the
person's own is changed or in the way. Downloaded packages, the tools tree and the compiled
wheel are kept: what is measured is the image.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from llmos_image.build import most_bytes
from llmos_image.cache import Cache, default_root
from llmos_image.run import Log
from llmos_image.workspace import workspace
from tests.bench import plain
from tests.bench.image import OUT, ROOT, Built, build
from tests.bench.result import Figure, Result

_MADE_ANEW = {"initrd", "layers", "locks", "work", "logs"}
# Written to in place, so it must not share files with the original.
_CHANGED_IN_PLACE = {"packages"}
_TOUCHED = "llmos_shell/__init__.py"


def measure() -> Result:
    """Build three times."""
    build("vm")  # fills the caches that count as warm
    place = OUT / "bench"
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix="work-") as name:
        work = Path(name)
        checkout, cache = work / "checkout", work / "cache"
        copy_checkout(checkout)
        copy_cache(default_root(), cache)
        clean = build("vm", checkout=checkout, out=work / "out", cache=cache)
        with (checkout / _TOUCHED).open("a", encoding="utf-8") as file:
            file.write("# A change that costs a rebuild.\n")
        again = build("vm", checkout=checkout, out=work / "out", cache=cache)
        with workspace(cache, most_bytes(plain.spec_of_ours())) as space:
            seconds, disk = plain.like_ours(
                Cache(cache), work / "plain", Log(place / "plain.log"), space
            )
        sizes = [path.stat().st_blocks * 512 / 1e6 for path in (again.disk, disk)]
    figures = [
        Figure("clean build", clean.seconds, "s"),
        *_phases(clean),
        Figure("rebuild after a change in Python", again.seconds, "s"),
        *_phases(again),
        Figure("plain mkosi, clean", seconds, "s"),
        Figure("our disk, on this disk", sizes[0], "MB"),
        Figure("plain mkosi's disk, on this disk", sizes[1], "MB"),
        Figure("rebuild / clean build", again.seconds / clean.seconds, "x"),
        Figure("clean build / plain mkosi", clean.seconds / seconds, "x"),
    ]
    return Result("build", figures, {"spec": "vm", "package cache": "warm"})


def _phases(built: Built) -> list[Figure]:
    return [Figure(f"  {name}", seconds, "s") for name, seconds in built.phases.items()]


def copy_checkout(target: Path) -> None:
    """Copy this checkout, what git does not know yet included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    )
    for name in listed.stdout.decode().split("\0"):
        # A file that was removed and not committed is still listed.
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def copy_cache(source: Path, target: Path) -> None:
    """Copy a cache without the layers that a clean build makes; large files are shared."""
    target.mkdir()
    for kind in sorted(source.iterdir()):
        if kind.is_dir() and kind.name not in _MADE_ANEW:
            plain = ["cp", "-a", "--reflink=auto", str(kind), str(target)]
            linked = ["cp", "-a", "--link", str(kind), str(target)]
            if kind.name in _CHANGED_IN_PLACE or subprocess.run(linked, check=False).returncode:
                subprocess.run(plain, check=True)
