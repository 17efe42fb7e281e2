"""The target's Python side: a venv of everything pinned, and our own code on top of it.

Two layers, because they change at different speeds: the *runtime* layer holds the lock file's
packages and the llama wheel and is cached by them; our code is installed over it in each build
by an overlay mount, so that a change in it costs seconds.
"""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos_image.cache import Cache, remove_tree
from llmos_image.run import Log, run
from llmos_image.tools import ToolsTree
from llmos_image.wheel import REQUIREMENTS, LlamaWheel, digest_of, pip_download

VENV = "/usr/lib/llmos"
_PYTHON = f"{VENV}/bin/python3"
SITE = "lib/python3.13/site-packages"
# The sources' times change when an image is made: only a hash-based cache stays valid.
_COMPILE = f"{_PYTHON} -m compileall -q --invalidation-mode unchecked-hash"
_RECORD = "wheels.json"
# Counts when the same wheels would be installed in another way.
_RECIPE = 2
# Part of our wheel for the host; on the target they have neither use nor dependencies.
_HOST_ONLY = ("lib/python*/site-packages/llmos_image", "bin/llmos-image")


@dataclass(frozen=True)
class Runtime:
    """The runtime layer and the tree in which its Python runs."""

    layer: Path
    tools: ToolsTree
    tree: Path

    @property
    def record(self) -> Path:
        """The SHA-256 of each wheel that was installed, by file name, as JSON."""
        return self.layer.parent / _RECORD

    def argv(self, command: Sequence[str], *, code: Path, binds: Sequence[Path] = ()) -> list[str]:
        """The command line that runs ``command`` as on the target, but on this machine.

        ``code`` is where :func:`install_code` put our own packages.
        """
        argv = self.tools.sandbox_for(self.tree).argv(
            command,
            binds=binds,
            env={"PATH": f"{VENV}/bin:/usr/bin", "HOME": "/tmp"},  # noqa: S108
        )
        return _with_venv(argv, lower=[code / VENV.lstrip("/"), self.layer])


def runtime_layer(cache: Cache, tools: ToolsTree, wheel: LlamaWheel, log: Log) -> Runtime:
    """The runtime layer, installed when the cache has none for this lock file and wheel.

    Raises:
        BuildFailed: a package cannot be had, or its hash is not the pinned one.
    """
    parts = {
        "lock": digest_of(REQUIREMENTS),
        "wheel": digest_of(wheel.path),
        "record": _RECORD,
    }
    entry = cache.get(
        "runtime",
        parts,
        what="Python packages of the target",
        make=lambda path: _install(path, tools, wheel, log),
    )
    return Runtime(entry.content, tools, wheel.tree)


def build_wheel(root: Path, folder: Path, log: Log) -> Path:
    """The wheel of the checkout ``root``, in ``folder``."""
    run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        log=log,
        cwd=root,
    )
    return next(folder.glob("llmos-*.whl"))


def install_code(runtime: Runtime, wheel: Path, payload: Path, work: Path, log: Log) -> None:
    """Put the files of our ``wheel`` into ``payload``/usr/lib/llmos, as pip would install them."""
    upper = payload / VENV.lstrip("/")
    upper.mkdir(parents=True)
    overlay_work = work / "overlay"
    overlay_work.mkdir()
    script = (
        f"python3 -m pip --python {_PYTHON} install --quiet --no-deps --no-index --no-compile "
        f"--disable-pip-version-check --no-cache-dir --root-user-action=ignore '{wheel}' && "
        f"rm -rf {' '.join(f'{VENV}/{path}' for path in _HOST_ONLY)} && "
        f"cd {VENV}/{SITE} && {_forget_origin('llmos-')} && {_COMPILE} llmos_*"
    )
    argv = runtime.tools.sandbox_for(runtime.tree).argv(["sh", "-c", script], ro_binds=[wheel])
    argv = _with_venv(argv, lower=[runtime.layer], upper=upper, work=overlay_work)
    run(argv, log=log)
    remove_tree(overlay_work)
    _drop_whiteouts(upper)


def _forget_origin(name: str = "") -> str:
    """A command that removes what pip notes of a wheel's path on the machine that builds.

    With it the same image, built elsewhere, would differ.
    """
    info = f"{name}*.dist-info"
    return f"rm -f {info}/direct_url.json && sed -i '/direct_url.json,/d' {info}/RECORD"


def _install(layer: Path, tools: ToolsTree, wheel: LlamaWheel, log: Log) -> None:
    wheels = layer.parent / "wheels"
    wheels.mkdir()
    text = REQUIREMENTS.read_text()
    start = text.index("llama-cpp-python==")
    end = text.find("\n", text.rfind("--hash", start, _next_name(text, start))) + 1
    others = wheels / "requirements.txt"
    others.write_text(text[:start] + text[end:])
    manylinux = [f"--platform=manylinux_2_{minor}_x86_64" for minor in range(5, 42)]
    platforms = [*manylinux, "--platform=manylinux2014_x86_64", "--platform=linux_x86_64"]
    python = [
        "--python-version=3.13",
        "--implementation=cp",
        "--abi=cp313",
        "--abi=abi3",
        "--abi=none",
    ]
    pip_download(wheels, others, ["--only-binary=:all:", *platforms, *python], log)
    # The lock file has the hashes of all files of a version: here are those of the installed.
    digests = {path.name: digest_of(path) for path in sorted(wheels.glob("*.whl"))}
    (layer.parent / _RECORD).write_text(json.dumps(digests, indent=1) + "\n")
    pip = (
        f"python3 -m pip --python {_PYTHON} install --quiet --no-deps --no-index --no-compile "
        f"--disable-pip-version-check --no-cache-dir --root-user-action=ignore"
    )
    script = (
        f"python3 -m venv --without-pip {VENV} && "
        f"{pip} --require-hashes --find-links '{wheels}' --requirement '{others}' && "
        f"{pip} '{wheel.path}' && "
        f"cd {VENV} && rm -rf include {SITE}/include {SITE}/*/*.a {SITE}/lib/cmake && "
        f"(cd {SITE} && {_forget_origin()}) && "
        f"{_COMPILE} {SITE}"
    )
    argv = tools.sandbox_for(wheel.tree).argv(
        ["sh", "-c", script], ro_binds=[wheels, wheel.path], mounts={layer: VENV}, become_root=True
    )
    run(argv, log=log)
    shutil.rmtree(wheels)


def _with_venv(
    argv: list[str], *, lower: Sequence[Path], upper: Path | None = None, work: Path | None = None
) -> list[str]:
    """``argv`` of a sandbox with the layers, topmost first, mounted as the venv."""
    options = [part for layer in reversed(lower) for part in ("--overlay-lowerdir", str(layer))]
    if upper is not None and work is not None:
        options += ["--overlay-upperdir", str(upper), "--overlay-workdir", str(work)]
    options += ["--overlay", VENV]
    # Mounts are made in the order of the options: this one after the read-only /usr.
    at = argv.index("--")
    return [*argv[:at], *options, *(["--become-root"] if os.geteuid() != 0 else []), *argv[at:]]


def _next_name(text: str, start: int) -> int:
    """Where the requirement after the one at ``start`` begins."""
    at = text.find("\n", start)
    while at != -1 and text[at + 1 : at + 2] in {" ", "#"}:
        at = text.find("\n", at + 1)
    return at if at != -1 else len(text)


def _drop_whiteouts(upper: Path) -> None:
    """Remove the marks by which overlayfs says that a file below is gone: nothing below is."""
    for path in upper.rglob("*"):
        if path.is_char_device():
            path.unlink()
