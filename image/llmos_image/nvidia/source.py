"""Changes to NVIDIA's sources, without which they do not compile for today's kernel.

Debian's kernel follows the stable series, whose interfaces change; Debian's driver follows more
slowly. Each change is made only where the kernel's header asks for it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos_image.errors import BuildFailed


@dataclass(frozen=True)
class Change:
    """``old`` becomes ``new`` in ``file`` when ``header`` of the kernel matches ``when``."""

    why: str
    header: str
    when: str
    file: str
    old: str
    new: str


CHANGES = (
    Change(
        why="pci_resize_resource() wants to know which windows to leave alone: none; the driver "
        "has given back both that lie there",
        header="include/linux/pci.h",
        when=r"pci_resize_resource\(struct pci_dev \*dev, int i, int size,\s*int exclude_bars\)",
        file="nvidia/nv-pci.c",
        old="pci_resize_resource(pci_dev, NV_GPU_BAR1, requested_size)",
        new="pci_resize_resource(pci_dev, NV_GPU_BAR1, requested_size, 0)",
    ),
)


def adapt(source: Path, headers: Path, changes: Sequence[Change] = CHANGES) -> Sequence[Change]:
    """Make the changes that the kernel below ``headers`` asks for; return them.

    Raises:
        BuildFailed: a change is asked for, and the source has neither its old nor its new form.
    """
    made = []
    for change in changes:
        header = headers / change.header
        if not header.is_file() or not re.search(change.when, header.read_text()):
            continue
        path = source / change.file
        text = path.read_text() if path.is_file() else ""
        if change.new in text:
            continue
        if change.old not in text:
            raise BuildFailed(
                f"{change.file}: not as expected, and it has to be changed for this kernel: "
                f"{change.why}",
                hint="The driver is newer than image/llmos_image/nvidia/source.py: look there.",
            )
        path.write_text(text.replace(change.old, change.new))
        made.append(change)
    return made
