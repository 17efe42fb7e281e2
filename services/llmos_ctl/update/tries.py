"""How a kernel image's file name counts the starts that it has left.

``llmos_0.2.0+2-1.efi`` has two tries left and one behind it. The boot loader counts, and a
start that worked takes the counter away (https://systemd.io/AUTOMATIC_BOOT_ASSESSMENT).
"""

import re
from dataclasses import dataclass
from typing import Self

_COUNTED = re.compile(r"(?P<stem>.*?)(\+(?P<left>[0-9]{1,9})(-(?P<done>[0-9]{1,9}))?)?\.efi")


@dataclass(frozen=True)
class Tries:
    """``left`` starts remain of a counted few; ``done`` have begun."""

    left: int
    done: int = 0

    def __str__(self) -> str:
        return f"+{self.left}-{self.done}"


@dataclass(frozen=True)
class KernelImage:
    """A kernel image by the name of its file in ``EFI/Linux``; without ``tries`` it is proven."""

    image_id: str
    version: str
    tries: Tries | None = None

    @classmethod
    def of(cls, name: str, image_id: str) -> Self | None:
        """Read a file's name; None when it is not a kernel image of ``image_id``."""
        found = _COUNTED.fullmatch(name)
        if found is None or not found["stem"].startswith(f"{image_id}_"):
            return None
        version = found["stem"].removeprefix(f"{image_id}_")
        tries = Tries(int(found["left"]), int(found["done"] or 0)) if found["left"] else None
        return cls(image_id, version, tries) if version else None

    @property
    def is_exhausted(self) -> bool:
        """Whether all tries are used, and none was good."""
        return self.tries is not None and self.tries.left == 0

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.image_id}_{self.version}{self.tries or ''}.efi"
