"""Running mkosi on a rendered tree."""

import datetime
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos_image import secureboot
from llmos_image.keys import Keys
from llmos_image.run import Log, output, run
from llmos_image.tools import ToolsTree


@dataclass(frozen=True)
class Workplace:
    """The folders that one mkosi run works in."""

    tree: Path
    """The rendered configuration."""
    output: Path
    workspace: Path
    layers: Path
    """mkosi's cache of installed packages."""
    packages: Path
    """Downloaded .deb files."""

    def options(self) -> list[str]:
        """The options that name them."""
        return [
            f"--output-directory={self.output}",
            f"--workspace-directory={self.workspace}",
            f"--cache-directory={self.layers}",
            "--incremental=yes",
            f"--package-cache-dir={self.packages}",
        ]


def build(
    tools: ToolsTree,
    place: Workplace,
    *,
    date: datetime.datetime,
    packages: Sequence[str],
    extra: Sequence[str],
    log: Log,
    keys: Keys | None = None,
    initrd: Path | None = None,
) -> None:
    """Build the tree's image into ``place.output``.

    No file in it is younger than ``date``, its sources'. ``packages`` are installed beside the
    tree's own; ``extra`` are trees to copy in, ``SOURCE`` or ``SOURCE:TARGET``. With ``keys``
    the boot loader and the kernel image are signed for Secure Boot. Without ``initrd`` mkosi
    makes its own.

    Raises:
        BuildFailed: mkosi failed; says what to do where the cause is known.
    """
    argv = [
        *_command(tools, place.tree),
        *place.options(),
        f"--source-date-epoch={int(date.timestamp())}",
        *(secureboot.build_options(keys) if keys else ()),
        *((f"--initrd={initrd}",) if initrd else ()),
        *(f"--package={name}" for name in packages),
        *(f"--extra-tree={tree}" for tree in extra),
        "--force",
        "build",
    ]
    steps = log.on_line
    log.on_line = lambda line: steps(step) if (step := step_of(line)) else None
    try:
        run(argv, log=log, env=tools.mkosi_environment)
    finally:
        log.on_line = steps


def summary(tools: ToolsTree, tree: Path) -> dict[str, Any]:
    """What mkosi reads out of a rendered tree.

    Raises:
        BuildFailed: mkosi does not accept the tree.
    """
    text = output([*_command(tools, tree), "--json", "summary"], env=tools.mkosi_environment)
    answer: dict[str, Any] = json.loads(text)
    return answer


def step_of(line: str) -> str | None:
    """The step that a line of mkosi's output announces."""
    match = re.match(r"‣\s+(.*)", re.sub(r"\x1b\[[0-9;]*m", "", line))
    return match[1].rstrip("…") if match else None


def _command(tools: ToolsTree, tree: Path) -> list[str]:
    argv = [sys.executable, "-m", "mkosi", f"--directory={tree}", f"--tools-tree={tools.path}"]
    # The host's certificate authorities for what downloads, never for the image: behind a
    # proxy that re-signs TLS no others work.
    return [*argv, "--tools-tree-certificates=no", "--no-pager"]
