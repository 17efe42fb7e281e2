"""llama-cpp-python for the target, built from its sdist against Debian's libggml.

So the CPU variants and every GPU back end come from the distribution. The library's soname
says too little: a wheel runs only with the exact libggml that it was built against, which the
image therefore asks for by version.
"""

import hashlib
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos_image.cache import Cache
from llmos_image.errors import BuildFailed
from llmos_image.question import Source, ask
from llmos_image.run import Log, run
from llmos_image.spec import Debian
from llmos_image.tools import ToolsTree, bootstrap

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements" / "target.txt"

_TREE_PACKAGES = (
    "cmake",
    "g++",
    "gcc",
    "ninja-build",
    "python3-dev",
    "python3-pip",
    "python3-pyproject-metadata",
    "python3-scikit-build-core",
    "python3-setuptools",
    "python3-venv",
    "python3-wheel",
)
OPTIONS = ("-DLLAMA_USE_SYSTEM_GGML=ON", "-DLLAVA_BUILD=OFF", "-DLLAMA_CURL=OFF")
_QUESTION_EVERY_SECONDS = 24 * 3600


@dataclass(frozen=True)
class LlamaWheel:
    """The wheel, the tree in which it was built (and runs), and its libggml's version."""

    path: Path
    tree: Path
    ggml_version: str


def llama_wheel(cache: Cache, tools: ToolsTree, debian: Debian, log: Log) -> LlamaWheel:
    """The wheel, built when the cache has none for today's libggml.

    Raises:
        BuildFailed: the archive has no libggml, the sdist cannot be had, the compiler failed.
    """
    version = _ggml_version(cache, tools, debian, log)
    packages = sorted({*_TREE_PACKAGES, f"libggml-dev={version}", f"libggml0={version}"})
    suite = f"{debian.suite}-backports"
    tree = cache.get(
        "wheel-tree",
        {"suite": debian.suite, "packages": packages},
        what=f"compiler and libggml {version}",
        make=lambda path: _make_tree(path, debian, packages, suite, log),
    ).content
    pinned, lines = pinned_llama(REQUIREMENTS)
    entry = cache.get(
        "wheel",
        {"pinned": lines, "ggml": version, "options": OPTIONS, "suite": debian.suite},
        what=f"{pinned} for libggml {version}",
        make=lambda path: _build(path, tools, tree, lines, log),
    )
    return LlamaWheel(next(entry.content.glob("*.whl")), tree, version)


def pip_download(folder: Path, requirements: Path, options: Sequence[str], log: Log) -> None:
    """Fetch what ``requirements`` pins, by the host's pip and its own configuration."""
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    run([*argv, *options, "--dest", folder, "--requirement", requirements], log=log)


def _make_tree(path: Path, debian: Debian, packages: Sequence[str], suite: str, log: Log) -> None:
    bootstrap(path, debian, packages, log, sources=[f"deb {debian.mirror} {suite} main"])
    # A place to mount the product's venv on.
    (path / "usr/lib/llmos").mkdir()


def pinned_llama(requirements: Path) -> tuple[str, str]:
    """``llama-cpp-python==X`` and its lines with the hashes."""
    match = re.search(r"(?m)^(llama-cpp-python==\S+)(?: \\\n .*)*", requirements.read_text())
    if match is None:
        raise BuildFailed(f"{requirements}: llama-cpp-python is not pinned")
    return match[1], match[0]


def _build(folder: Path, tools: ToolsTree, tree: Path, pinned: str, log: Log) -> None:
    work = folder.parent / "work"
    work.mkdir()
    requirement = work / "llama.txt"
    requirement.write_text(pinned)
    options = ["--no-binary=llama-cpp-python", "--no-build-isolation"]
    pip_download(work, requirement, options, log)
    run(
        tools.sandbox_for(tree).argv(
            [
                *("python3", "-m", "pip", "wheel", "--no-deps", "--no-index"),
                *("--no-build-isolation", "--disable-pip-version-check", "--no-cache-dir"),
                *("--verbose", "--wheel-dir", folder, next(work.glob("*.tar.gz"))),
            ],
            binds=[folder, work],
            env={"CMAKE_ARGS": " ".join(OPTIONS), "TMPDIR": str(work), "HOME": str(work)},
        ),
        log=log,
    )
    for leftover in sorted(work.rglob("*"), reverse=True):
        leftover.rmdir() if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
    work.rmdir()


def _ggml_version(cache: Cache, tools: ToolsTree, debian: Debian, log: Log) -> str:
    """The version of libggml0 in the archive, asked at most once a day.

    Without a network the last answer counts.
    """
    place = cache.scratch("ggml-version", {"suite": debian.suite, "mirror": debian.mirror})
    answer = place / "answer.json"
    last: dict[str, Any] = {"version": None, "asked": 0.0}
    if answer.exists():
        last = json.loads(answer.read_text())
    if last["version"] and time.time() - last["asked"] < _QUESTION_EVERY_SECONDS:
        return str(last["version"])
    try:
        version = _ask_archive(tools, debian)
    except BuildFailed as error:
        if last["version"] is None:
            raise
        log.on_line(f"the archive does not answer, libggml {last['version']} as before: {error}")
        return str(last["version"])
    partial = answer.with_suffix(".partial")
    partial.write_text(json.dumps({"version": version, "asked": time.time()}))
    partial.replace(answer)
    return version


def _ask_archive(tools: ToolsTree, debian: Debian) -> str:
    backports = Source(str(debian.mirror), (f"{debian.suite}-backports",), ("main",))
    found = ask(tools, [backports], ["libggml0"])
    if "libggml0" not in found:
        raise BuildFailed(
            f"{debian.mirror}: {debian.suite}-backports has no libggml0",
            hint="Name a full Debian mirror in the spec: debian.mirror.",
        )
    return found["libggml0"].version


def digest_of(path: Path) -> str:
    """SHA-256 of a file, for cache keys."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
