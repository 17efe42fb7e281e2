"""The partitions of the running disk that hold a root: which version is in which slot."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from llmos_ctl.errors import CtlError
from llmos_ctl.run import Run
from llmos_ctl.update.running import Running

ROOT_X86_64: Final = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
"""The type of a root partition (Discoverable Partitions Specification)."""

EMPTY: Final = "_empty"
"""The label of a free slot, as systemd-sysupdate has it."""

_COLUMNS: Final = "NAME,PKNAME,PARTLABEL,PARTTYPE,PARTUUID,START"


class _Device(msgspec.Struct):
    name: str
    pkname: str | None = None
    partlabel: str | None = None
    parttype: str | None = None
    partuuid: str | None = None
    start: int | None = None


class _Listing(msgspec.Struct):
    blockdevices: list[_Device]


@dataclass(frozen=True)
class Slot:
    """One place for a root; ``version`` is None when it is free."""

    letter: str
    version: str | None
    runs: bool = False


def slots(run: Run, running: Running) -> tuple[Slot, ...]:
    """The slots of the disk that ``running`` was started from, in their order there.

    Raises:
        CtlError: it does not run from such a slot.
    """
    done = run(["lsblk", "--json", "--list", "--bytes", "--output", _COLUMNS])
    try:
        devices = msgspec.json.decode(done.out, type=_Listing).blockdevices
    except msgspec.DecodeError:
        raise CtlError(f"lsblk: {done.err.strip() or 'no answer that can be read'}") from None
    ours = next((d for d in devices if d.partuuid and d.partuuid == running.root_partition), None)
    if ours is None:
        raise CtlError(
            "this system does not run from one of two root partitions, so it has no updates",
            hint="An image that was built for a disk has them.",
        )
    roots = [d for d in devices if d.pkname == ours.pkname and d.parttype == ROOT_X86_64]
    return _in_order(sorted(roots, key=lambda d: d.start or 0), ours, running.image_id)


def _in_order(roots: Sequence[_Device], ours: _Device, image_id: str) -> tuple[Slot, ...]:
    return tuple(
        Slot(letter, _version(device.partlabel or "", image_id), runs=device is ours)
        for letter, device in zip(string.ascii_uppercase, roots, strict=False)
    )


def _version(label: str, image_id: str) -> str | None:
    prefix = f"{image_id}_"
    return label.removeprefix(prefix) or None if label.startswith(prefix) else None
