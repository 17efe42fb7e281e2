"""What protects this machine just now, read from where the kernel and the firmware say it."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

_VARIABLES: Final = "sys/firmware/efi/efivars"
_GLOBAL: Final = "8be4df61-93ca-11d2-aa0d-00e098032b8c"


class SecureBoot(StrEnum):
    """What the firmware says of Secure Boot."""

    ON = "on"
    OFF = "off"
    SETUP = "setup"
    """Off, and it takes keys from whoever comes first."""
    UNSUPPORTED = "unsupported"

    @property
    def text(self) -> str:
        """For a person."""
        match self:
            case SecureBoot.ON:
                return "on: the firmware starts only what its keys have signed"
            case SecureBoot.OFF:
                return "off: the firmware starts anything"
            case SecureBoot.SETUP:
                return "off, in setup mode: it takes keys from the boot menu"
            case SecureBoot.UNSUPPORTED:
                return "not known to this firmware"


@dataclass(frozen=True, slots=True)
class Security:
    """The protections of a running machine."""

    secure_boot: SecureBoot
    root_verified: bool
    data_encrypted: bool
    tpm: str | None
    """Its version, such as ``2``."""
    lockdown: str
    """The kernel's lockdown mode: none, integrity or confidentiality."""
    only_signed_modules: bool
    mode: str
    """normal, live, install or recovery."""

    @classmethod
    def of(cls, root: Path = Path("/")) -> "Security":
        """What the machine below ``root`` says; a file that is not there says the least."""
        mappings = [_text(path) for path in root.glob("sys/block/dm-*/dm/uuid")]
        mounted = re.search(r"(?m)^(\S+) / ", _text(root / "proc/mounts"))
        lockdown = re.search(r"\[(\w+)\]", _text(root / "sys/kernel/security/lockdown"))
        mode = re.search(r"\bllmos\.mode=(\w+)", _text(root / "proc/cmdline"))
        return cls(
            secure_boot=_secure_boot(root),
            root_verified=bool(mounted and mounted[1] == "/dev/mapper/root")
            and any(mapping.startswith("CRYPT-VERITY-") for mapping in mappings),
            data_encrypted=any(mapping.startswith("CRYPT-LUKS2-") for mapping in mappings),
            tpm=_text(root / "sys/class/tpm/tpm0/tpm_version_major") or None,
            lockdown=lockdown[1] if lockdown else "none",
            only_signed_modules=_text(root / "sys/module/module/parameters/sig_enforce") == "Y",
            mode=mode[1] if mode else "normal",
        )


def _secure_boot(root: Path) -> SecureBoot:
    enabled = _flag(root, "SecureBoot")
    if enabled is None:
        return SecureBoot.UNSUPPORTED
    if enabled:
        return SecureBoot.ON
    return SecureBoot.SETUP if _flag(root, "SetupMode") else SecureBoot.OFF


def _flag(root: Path, name: str) -> bool | None:
    try:
        data = (root / _VARIABLES / f"{name}-{_GLOBAL}").read_bytes()
    except OSError:
        return None
    # Four bytes of attributes, then the value.
    return data[4] == 1 if len(data) == 5 else None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
