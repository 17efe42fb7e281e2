"""What protects a machine, told from files as the kernel and the firmware write them."""

from pathlib import Path

import pytest

from llmos_ctl.security import SecureBoot, Security

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"


def write(root: Path, name: str, text: str | bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def variable(root: Path, name: str, value: int) -> None:
    write(root, f"sys/firmware/efi/efivars/{name}-{GLOBAL}", bytes([6, 0, 0, 0, value]))


@pytest.mark.parametrize(
    ("enabled", "setup", "expected"),
    [(1, 0, SecureBoot.ON), (0, 0, SecureBoot.OFF), (0, 1, SecureBoot.SETUP)],
)
def test_the_firmware_says_what_secure_boot_is(
    tmp_path: Path, enabled: int, setup: int, expected: SecureBoot
) -> None:
    variable(tmp_path, "SecureBoot", enabled)
    variable(tmp_path, "SetupMode", setup)
    assert Security.of(tmp_path).secure_boot is expected


def test_a_machine_that_says_nothing_is_protected_by_nothing(tmp_path: Path) -> None:
    assert Security.of(tmp_path) == Security(
        SecureBoot.UNSUPPORTED,
        root_verified=False,
        data_encrypted=False,
        tpm=None,
        lockdown="none",
        only_signed_modules=False,
        mode="normal",
    )


def test_a_variable_of_another_length_is_not_believed(tmp_path: Path) -> None:
    write(tmp_path, f"sys/firmware/efi/efivars/SecureBoot-{GLOBAL}", b"\x06\x00\x00\x00")
    assert Security.of(tmp_path).secure_boot is SecureBoot.UNSUPPORTED


def test_all_protections_are_seen(tmp_path: Path) -> None:
    variable(tmp_path, "SecureBoot", 1)
    write(tmp_path, "sys/block/dm-0/dm/uuid", "CRYPT-VERITY-abc-root\n")
    write(tmp_path, "sys/block/dm-1/dm/uuid", "CRYPT-LUKS2-abc-llmos-data\n")
    write(tmp_path, "proc/mounts", "proc /proc proc rw 0 0\n/dev/mapper/root / erofs ro 0 0\n")
    write(tmp_path, "sys/class/tpm/tpm0/tpm_version_major", "2\n")
    write(tmp_path, "sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    write(tmp_path, "sys/module/module/parameters/sig_enforce", "Y\n")
    write(tmp_path, "proc/cmdline", "ro quiet llmos.mode=live\n")
    assert Security.of(tmp_path) == Security(
        SecureBoot.ON,
        root_verified=True,
        data_encrypted=True,
        tpm="2",
        lockdown="integrity",
        only_signed_modules=True,
        mode="live",
    )
