"""The names of PCI devices, from the list that ``pciutils`` brings."""

import re
from pathlib import Path
from typing import Final

PCI_IDS: Final = "usr/share/misc/pci.ids"

# A vendor is a line of its own; its devices follow with one tab each, their boards with two.
_NEXT_VENDOR: Final = re.compile(rb"\n[^\t#\n]")


class Names:
    """Looks names up in ``pci.ids`` below ``root``; without the list nothing has a name."""

    def __init__(self, root: Path = Path("/")) -> None:
        try:
            self._text = (root / PCI_IDS).read_bytes()
        except OSError:
            self._text = b""

    def of(self, vendor: int, device: int) -> str | None:
        """``AD102 [GeForce RTX 4090]``; the list is searched as bytes, it has 40,000 lines."""
        start = self._text.find(b"\n%04x  " % vendor)
        if start < 0:
            return None
        at = self._text.find(b"\n\t%04x  " % device, start)
        next_vendor = _NEXT_VENDOR.search(self._text, start + 1)
        if at < 0 or (next_vendor and at > next_vendor.start()):
            return None
        line = self._text[at + 2 : self._text.find(b"\n", at + 1)]
        return line.partition(b"  ")[2].decode(errors="replace").strip() or None
