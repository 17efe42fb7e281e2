"""The linters are tests: what they say is as binding as any assertion."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [
    ROOT / "build.sh",
    ROOT / ".ci/run",
    *sorted(ROOT.glob("image/**/*.sh")),
    *sorted(
        path
        for path in ROOT.glob("overlays/**/*")
        if path.is_file() and path.read_bytes().startswith((b"#!/bin/sh", b"#!/bin/bash"))
    ),
]
PROGRAMS = ("ExecStart=", "ExecCondition=/usr/lib/llmos")
"""Lines of units that name programs of the image."""

UNITS = sorted(
    path
    for kind in ("service", "socket", "timer", "target", "path")
    for path in ROOT.glob(f"overlays/*/usr/lib/systemd/system/*.{kind}")
    # An alias leads to a unit of the image.
    if not path.is_symlink()
)


def complaints(*argv: str | Path) -> str:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_ruff_has_nothing_to_say() -> None:
    assert not complaints(sys.executable, "-m", "ruff", "check", "--quiet")


def test_the_code_is_formatted() -> None:
    assert not complaints(sys.executable, "-m", "ruff", "format", "--check", "--quiet")


def test_the_types_hold_under_strict_mypy() -> None:
    assert not complaints(sys.executable, "-m", "mypy")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed; './build.sh test' installs it")
    assert not complaints("shellcheck", script)


@pytest.mark.parametrize("unit", UNITS, ids=lambda p: p.name)
def test_systemd_accepts_the_unit(unit: Path, tmp_path: Path) -> None:
    """On a copy whose programs exist: the image has them, this machine need not."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed; './build.sh test' installs it")
    for other in UNITS:
        lines = [
            line.partition("=")[0] + "=/bin/true" if line.startswith(PROGRAMS) else line
            for line in other.read_text().splitlines()
        ]
        (tmp_path / other.name).write_text("\n".join(lines) + "\n")
    # Made by a generator, in the initrd only.
    (tmp_path / "sysroot.mount").write_text("[Mount]\nWhat=tmpfs\nWhere=/sysroot\n")
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / unit.name],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in said.stderr.splitlines() if unit.name in line]
    assert said.returncode == 0, said.stderr
    assert not ours
