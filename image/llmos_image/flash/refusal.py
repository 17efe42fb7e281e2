"""Why a disk may not be written: all reasons at once."""

from collections.abc import Iterator
from dataclasses import dataclass

from llmos_image.flash.disks import Disk, size_text


@dataclass(frozen=True)
class Terms:
    """What a disk has to meet. ``size`` is the image's, in bytes, where it is known."""

    size: int | None = None
    allow_fixed: bool = False


def reasons_against(disk: Disk, terms: Terms) -> Iterator[str]:
    """Each reason not to write to ``disk``; none when it may be written.

    Whatever the machine uses can never be written, whoever insists.
    """
    if systems := [str(use) for use in disk.uses if use.is_systems]:
        yield f"holds the running system: {'; '.join(systems)}"
    if others := [str(use) for use in disk.uses if not use.is_systems]:
        yield f"is in use: {'; '.join(others)}"
    if disk.is_read_only:
        yield "is read-only (a card's or a stick's write-protect switch?)"
    if not disk.is_removable and not terms.allow_fixed:
        yield f"is not removable ({disk.transport}; see --allow-fixed)"
    if terms.size is not None and terms.size > disk.size:
        yield (
            f"is too small: it has {disk.size:,} bytes ({size_text(disk.size)}), "
            f"the image {terms.size:,}"
        )
