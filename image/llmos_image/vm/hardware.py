"""The virtual hardware, and the QEMU options that make it. Nothing here starts anything."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from llmos_image.errors import HostError, UserError
from llmos_image.vm.credentials import Credential
from llmos_image.vm.disk import quoted
from llmos_image.vm.kvm import Accelerator
from llmos_image.vm.toolbox import Toolbox

# (code, variables) as Debian, Fedora and Arch install them.
_FIRMWARE = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
)
# The same with Secure Boot: it begins in setup mode, without any keys.
_SECURE_FIRMWARE = (
    ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
)
SCREEN_SIZE = (1024, 768)


class Network(StrEnum):
    """What the guest's network card is connected to."""

    NONE = "none"
    ISOLATED = "isolated"
    USER = "user"

    def arguments(self) -> list[str]:
        """QEMU's options for it."""
        # romfile=: no PXE, which would cost half a minute of boot under emulation.
        card = ["-device", "virtio-net-pci,netdev=net,romfile="]
        match self:
            case Network.NONE:
                return ["-nic", "none"]
            case Network.ISOLATED:
                # DHCP answers, and nothing beyond it.
                return ["-netdev", "user,id=net,restrict=on", *card]
            case Network.USER:
                return ["-netdev", "user,id=net", *card]


@dataclass(frozen=True, slots=True)
class Hardware:
    """The machine a person would have bought. ``memory`` is as QEMU spells it: ``2G``.

    With ``secure_boot`` its firmware knows Secure Boot and has no keys yet; with ``tpm`` it has
    a TPM 2.0, which forgets all when the machine ends unless it is given a place for its memory.
    With ``usb_stick`` it starts from one.
    """

    memory: str = "2G"
    cpus: int = 2
    network: Network = Network.USER
    secure_boot: bool = False
    tpm: bool = False
    usb_stick: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[1-9][0-9]*[MG]", self.memory):
            raise UserError(
                f"memory: '{self.memory}' is not a size (a number and M or G, such as 2G)"
            )
        if self.cpus < 1:
            raise UserError(f"cpus: {self.cpus} is too few (1 or more)")

    def arguments(self, accelerator: Accelerator) -> list[str]:
        """Everything but disks, firmware and consoles."""
        width, height = SCREEN_SIZE
        # Only Secure Boot needs system management mode, and emulating it is slow: it keeps the
        # firmware's variables from the guest.
        smm = "on" if self.secure_boot else "off"
        guarded = ["-global", "driver=cfi.pflash01,property=secure,value=on"]
        return [
            *("-nodefaults", "-no-user-config", "-machine", f"q35,smm={smm},vmport=off"),
            *(guarded if self.secure_boot else ()),
            *accelerator.arguments(),
            *("-smp", str(self.cpus), "-m", self.memory),
            *("-object", "rng-builtin,id=rng", "-device", "virtio-rng-pci,rng=rng"),
            *("-device", f"VGA,xres={width},yres={height},edid=on"),
            *self.network.arguments(),
        ]


@dataclass(frozen=True, slots=True)
class Firmware:
    """UEFI for a machine: ``code`` as the toolbox sees it, ``variables`` to copy, on this host."""

    code: str
    variables: Path

    @classmethod
    def find(cls, toolbox: Toolbox, *, secure_boot: bool = False) -> "Firmware":
        """The toolbox's OVMF.

        Raises:
            HostError: it has none.
        """
        for code, variables in _SECURE_FIRMWARE if secure_boot else _FIRMWARE:
            if toolbox.path(code).is_file() and toolbox.path(variables).is_file():
                return cls(code, toolbox.path(variables))
        raise HostError(
            "no UEFI firmware for virtual machines is installed",
            hint="Install the package that holds OVMF (Debian: ovmf).",
        )

    def arguments(self, folder: Path) -> list[str]:
        """QEMU's options. The variables are copied to ``folder``, as QEMU writes to them."""
        variables = folder / "variables.fd"
        variables.write_bytes(self.variables.read_bytes())
        return [
            *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={self.code}"),
            *("-drive", f"if=pflash,unit=1,format=raw,file={quoted(variables)}"),
        ]


def credential_arguments(credentials: Sequence[Credential]) -> list[str]:
    """System credentials, handed over in SMBIOS strings of type 11."""
    return [
        part
        for credential in credentials
        for part in ("-smbios", f"type=11,value={credential.smbios()}")
    ]


def kernel_arguments(words: Sequence[str]) -> list[str]:
    """QEMU's options that add to the kernel's command line, as systemd-stub(7) reads them.

    Under Secure Boot the stub does not.
    """
    if not words:
        return []
    return ["-smbios", f"type=11,value=io.systemd.stub.kernel-cmdline-extra={' '.join(words)}"]
