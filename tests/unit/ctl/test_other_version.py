"""Whether there is another version, by what the boot loader says of its entries."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = next(Path(__file__).parents[3].glob("overlays/*/usr/lib/llmos-boot/other-version"))
VENDOR = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
PROFILES = ("normal", "live", "install", "recovery", "factory-reset")
ONE = ["llmos-vm_0.1.0.efi", *(f"llmos-vm_0.1.0.efi@{name}" for name in PROFILES)]


def variable(folder: Path, name: str, *values: str) -> None:
    text = "".join(f"{value}\0" for value in values).encode("utf-16-le")
    (folder / f"{name}-{VENDOR}").write_bytes(b"\6\0\0\0" + text)


def another(folder: Path) -> bool:
    done = subprocess.run([SCRIPT, folder], check=False, capture_output=True)
    assert not done.stderr
    assert done.returncode in {0, 1}
    return done.returncode == 0


@pytest.mark.parametrize("selected", ["llmos-vm_0.1.0.efi", "llmos-vm_0.1.0.efi@normal"])
def test_the_profiles_of_one_version_are_no_other(tmp_path: Path, selected: str) -> None:
    variable(tmp_path, "LoaderEntrySelected", selected)
    variable(tmp_path, "LoaderEntries", *ONE, "auto-reboot-to-firmware-setup")
    assert not another(tmp_path)


@pytest.mark.parametrize("other", ["llmos-vm_0.3.0.efi", "llmos-vm_0.3.0.efi@normal"])
def test_another_version_is_seen_whatever_its_entries_are_called(
    tmp_path: Path, other: str
) -> None:
    # systemd-boot 257 leaves the profile out of the name of an entry that has failed.
    variable(tmp_path, "LoaderEntrySelected", "llmos-vm_0.1.0.efi@normal")
    variable(tmp_path, "LoaderEntries", *ONE, other, other)
    assert another(tmp_path)


def test_where_the_boot_loader_says_nothing_there_may_be_one(tmp_path: Path) -> None:
    assert another(tmp_path)
    variable(tmp_path, "LoaderEntries", *ONE)
    assert another(tmp_path)
