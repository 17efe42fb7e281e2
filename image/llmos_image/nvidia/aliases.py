"""Which of NVIDIA's cards the module ``nvidia`` takes, and which nouveau: modprobe's aliases.

Both modules claim every card of NVIDIA, and the first that is loaded gets them all. An alias in
modprobe.d goes before those in the modules (modprobe.d(5)), so the image has one for every card,
made from the table of families that the target chooses its stacks by. A card that the module
cannot drive keeps nouveau, and with it a screen.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmos_image.gpu import NvidiaModules

PATH = "usr/lib/modprobe.d/llmos-nvidia.conf"
_VENDOR = "10de"


def modprobe_conf(families: Path, flavour: NvidiaModules, version: str) -> str:
    """The file :data:`PATH`, for modules of ``flavour`` and ``version``.

    ``families`` is the target's ``families.toml``, here only data.
    """
    table: dict[str, Any] = tomllib.loads(families.read_text(encoding="utf-8"))
    ours = [False] * 0x10000
    taken = [False] * 0x10000
    for family in table["family"]:
        if family.get("vendor") != _VENDOR:
            continue
        fits = _fits(family, flavour, version)
        for first, last in _ranges(family["devices"]):
            for device in range(first, last + 1):
                # The first family that has a device is its family.
                if not taken[device]:
                    taken[device], ours[device] = True, fits
    lines = [
        "# Made at build time: the cards that these modules can drive, and those left to nouveau.",
        *(f"alias {_alias(pattern)} nvidia" for pattern in _patterns(ours, True)),
        *(f"alias {_alias(pattern)} nouveau" for pattern in _patterns(ours, False)),
        # Computing needs it, and nothing else would load it.
        "softdep nvidia post: nvidia-uvm",
    ]
    return "\n".join([*lines, ""])


def _fits(family: dict[str, Any], flavour: NvidiaModules, version: str) -> bool:
    module, least = family.get("module", ""), family.get("driver", "")
    if not module:
        return False
    if module != flavour.module and (flavour is NvidiaModules.OPEN or least):
        return False
    return not least or _numbers(version) >= _numbers(least)


def _ranges(devices: list[str]) -> Iterator[tuple[int, int]]:
    for text in devices:
        first, _, last = text.partition("-")
        yield int(first, 16), int(last or first, 16)


def _patterns(ours: list[bool], wanted: bool) -> Iterator[str]:
    """As few glob patterns of four digits as cover exactly the devices with ``wanted``."""

    def within(prefix: str) -> Iterator[str]:
        rest = 4 - len(prefix)
        start = int(prefix.ljust(4, "0"), 16)
        part = ours[start : start + 16**rest]
        if all(one is wanted for one in part):
            yield prefix + "?" * rest
        elif any(one is wanted for one in part):
            for digit in "0123456789ABCDEF":
                yield from within(prefix + digit)

    yield from within("")


def _alias(pattern: str) -> str:
    return f"pci:v000010DEd0000{pattern}sv*sd*bc03sc*i*"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
