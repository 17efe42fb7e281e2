"""System credentials: how a test's unit gets into an image that stays as it was built.

systemd reads them from SMBIOS strings of type 11 (systemd.system-credentials(7)), and its
debug generator makes units of those that are named ``systemd.extra-unit.*``.
"""

import base64
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Credential:
    """A name and what it holds."""

    name: str
    value: bytes

    def smbios(self) -> str:
        """The SMBIOS string; Base64 keeps commas, which QEMU would split at, out of it."""
        encoded = base64.b64encode(self.value).decode("ascii")
        return f"io.systemd.credential.binary:{self.name}={encoded}"

    @classmethod
    def unit(cls, name: str, text: str) -> "Credential":
        """A unit that exists for this boot only."""
        return cls(f"systemd.extra-unit.{name}", text.encode())

    @classmethod
    def wanted_by(cls, target: str, unit: str) -> "Credential":
        """Starts ``unit`` together with ``target``."""
        return cls(f"systemd.unit-dropin.{target}", f"[Unit]\nWants={unit}\n".encode())
