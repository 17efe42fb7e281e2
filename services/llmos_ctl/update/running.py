"""What runs: which version, from which partitions, in which mode."""

import shlex
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from llmos_ctl.errors import CtlError


@dataclass(frozen=True)
class Running:
    """The running system, by what its image and its kernel's command line say."""

    image_id: str
    version: str
    root_hash: str | None = None
    mode: str = "normal"

    @classmethod
    def of(cls, root: Path = Path("/")) -> Self:
        """Read it from the machine whose files are below ``root``.

        Raises:
            CtlError: its os-release names no image.
        """
        release = _assignments(_text(root / "etc/os-release"))
        words = _assignments(_text(root / "proc/cmdline"))
        try:
            return cls(
                image_id=release["IMAGE_ID"],
                version=release["IMAGE_VERSION"],
                root_hash=words.get("roothash"),
                mode=words.get("llmos.mode", "normal"),
            )
        except KeyError as missing:
            raise CtlError(
                f"/etc/os-release: no {missing.args[0]}: this is not an image of LLMOS"
            ) from None

    @property
    def root_partition(self) -> str | None:
        """The UUID of the root's partition: the first half of the root hash."""
        if self.root_hash is None or len(self.root_hash) < 64:
            return None
        try:
            return str(uuid.UUID(hex=self.root_hash[:32]))
        except ValueError:
            return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _assignments(text: str) -> Mapping[str, str]:
    """``name=value`` words, as in os-release(5) and on the kernel's command line."""
    found = {}
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        for word in words:
            name, equals, value = word.partition("=")
            if equals:
                found[name] = value
    return found
