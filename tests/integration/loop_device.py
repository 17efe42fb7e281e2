"""Real block devices without any disk: loops upon files."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def needs_loops() -> None:
    """Skip the test where this machine or user cannot make loop devices."""
    if os.geteuid() != 0:
        pytest.skip("only root can make loop devices")
    probe = subprocess.run(["losetup", "--find"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"no loop devices here: {probe.stderr.strip()}")


@contextlib.contextmanager
def loop_on(file: Path) -> Iterator[Path]:
    """The node of a loop device upon ``file``, which may be partitioned."""
    command: list[str | Path] = ["losetup", "--partscan", "--find", "--show", file]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    node = Path(done.stdout.strip())
    try:
        yield node
    finally:
        subprocess.run(["losetup", "--detach", node], check=True)


@contextlib.contextmanager
def mounted(source: str | Path, place: Path, *options: str) -> Iterator[None]:
    """``source`` is mounted on the new folder ``place`` while the block runs."""
    place.mkdir()
    subprocess.run(["mount", *options, source, place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)
