"""What the engine is compared with: llama.cpp's own programs, from the very source of its wheel.

``llama-bench`` and ``llama-server`` are in the sdist of llama-cpp-python. They are built in the
tree in which the wheel is built, by the same options, against the same libggml.
``llama_cpp.server`` is in the wheel itself; what it needs beside is installed apart.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmos_image.build import Ground
from llmos_image.cache import Cache, remove_tree
from llmos_image.errors import BuildFailed
from llmos_image.run import Log, run
from llmos_image.wheel import OPTIONS, REQUIREMENTS, digest_of, pinned_llama, pip_download

SERVER_REQUIREMENTS: Final = Path(__file__).with_name("python_server.txt")
"""What ``llama_cpp.server`` needs, pinned for the target's Python."""

_PROGRAMS: Final = ("llama-bench", "llama-server")
_CMAKE: Final = (
    *OPTIONS,
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    "-DCMAKE_INSTALL_RPATH=$ORIGIN",
    # Neither tests nor pages for browsers, and no network: only the programs.
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    # Of no git repository: it would ask for one.
    "-DLLAMA_BUILD_NUMBER=0",
    "-DLLAMA_BUILD_COMMIT=sdist",
)


@dataclass(frozen=True)
class Rivals:
    """The folder with llama.cpp's programs, and the one with ``llama_cpp.server``'s packages."""

    programs: Path
    packages: Path | None
    """None where they cannot be had; ``missing`` says why."""
    missing: str = ""


def rivals(cache: Cache, ground: Ground, log: Log) -> Rivals:
    """What the engine is compared with, built when the cache has none.

    Raises:
        BuildFailed: llama.cpp's programs cannot be built.
    """
    pinned, lines = pinned_llama(REQUIREMENTS)
    parts = {"pinned": lines, "ggml": ground.llama.ggml_version, "options": _CMAKE}
    programs = cache.get(
        "bench-rivals",
        parts,
        what=f"llama-bench and llama-server of {pinned}",
        make=lambda path: _build(path, ground, lines, log),
    ).content
    try:
        packages = cache.get(
            "bench-python-server",
            {"lock": digest_of(SERVER_REQUIREMENTS)},
            what="packages of llama_cpp.server",
            make=lambda path: _install(path, ground, log),
        ).content
    except BuildFailed as error:
        return Rivals(programs, None, f"its packages cannot be had: {error}")
    return Rivals(programs, packages)


def _build(folder: Path, ground: Ground, pinned: str, log: Log) -> None:
    work = folder.parent / "work"
    source, made = work / "source", work / "build"
    source.mkdir(parents=True)
    requirement = work / "llama.txt"
    requirement.write_text(pinned)
    pip_download(work, requirement, ["--no-binary=llama-cpp-python", "--no-build-isolation"], log)
    archive = next(work.glob("*.tar.gz"))
    run(["tar", "-x", "-C", source, "--strip-components=1", "-f", archive], log=log)
    sandbox = ground.tools.sandbox_for(ground.llama.tree)
    commands: tuple[list[str | Path], ...] = (
        ["cmake", "-G", "Ninja", "-S", source / "vendor/llama.cpp", "-B", made, *_CMAKE],
        ["cmake", "--build", made, "--target", *_PROGRAMS],
    )
    for command in commands:
        run(sandbox.argv(command, binds=[work], env={"HOME": str(work)}), log=log)
    for path in [made / "bin" / name for name in _PROGRAMS] + sorted(made.glob("bin/*.so*")):
        path.rename(folder / path.name)
    remove_tree(work)


def _install(folder: Path, ground: Ground, log: Log) -> None:
    """Put what ``llama_cpp.server`` needs into a folder of its own, beside the engine's."""
    wheels = folder.parent / "wheels"
    wheels.mkdir()
    pip_download(
        wheels,
        SERVER_REQUIREMENTS,
        [
            "--only-binary=:all:",
            "--platform=manylinux2014_x86_64",
            "--platform=manylinux_2_28_x86_64",
            "--python-version=3.13",
            "--implementation=cp",
            "--abi=cp313",
            "--abi=abi3",
            "--abi=none",
        ],
        log,
    )
    script = (
        "python3 -m pip install --quiet --no-deps --no-index --disable-pip-version-check "
        f"--no-cache-dir --root-user-action=ignore --target '{folder}' '{wheels}'/*.whl"
    )
    sandbox = ground.tools.sandbox_for(ground.llama.tree)
    run(sandbox.argv(["sh", "-c", script], binds=[folder, wheels]), log=log)
    remove_tree(wheels)
