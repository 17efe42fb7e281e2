"""The options QEMU gets, and what is refused before it starts."""

import base64
import fcntl
import os
from pathlib import Path

import pytest

from llmos_image.errors import HostError, UserError
from llmos_image.vm.credentials import Credential
from llmos_image.vm.disk import (
    DiskFormat,
    disk_arguments,
    further_disk_arguments,
    make_overlay,
    medium_arguments,
    scratch_folder,
)
from llmos_image.vm.hardware import (
    Firmware,
    Hardware,
    Network,
    credential_arguments,
    kernel_arguments,
)
from llmos_image.vm.kvm import Accelerator

from .conftest import ScriptedToolbox


def test_emulation_uses_a_thread_for_each_cpu() -> None:
    options = " ".join(Hardware(cpus=3).arguments(Accelerator.TCG))
    assert "-accel tcg,thread=multi -cpu max" in options
    assert "-smp 3 -m 2G" in options


@pytest.mark.parametrize("memory", ["", "2", "2GB", "0G", "-1G", "2G,maxmem=9G"])
def test_memory_that_is_not_a_size_is_refused(memory: str) -> None:
    with pytest.raises(UserError, match="such as 2G"):
        Hardware(memory=memory)


def test_no_cpu_is_too_few() -> None:
    with pytest.raises(UserError, match="1 or more"):
        Hardware(cpus=0)


def test_an_isolated_network_reaches_nothing_beyond_the_guest() -> None:
    assert "restrict=on" in " ".join(Network.ISOLATED.arguments())
    assert "restrict" not in " ".join(Network.USER.arguments())


def test_the_firmware_is_found_in_the_toolbox(toolbox: ScriptedToolbox) -> None:
    firmware = Firmware.find(toolbox)
    assert firmware.variables.read_bytes() == b"firmware"


def test_a_toolbox_without_firmware_says_what_to_install(toolbox: ScriptedToolbox) -> None:
    (toolbox.root / "usr/share/OVMF/OVMF_VARS_4M.fd").unlink()
    with pytest.raises(HostError) as caught:
        Firmware.find(toolbox)
    assert "ovmf" in str(caught.value)


def test_a_comma_in_a_path_does_not_end_the_option() -> None:
    assert "file=/tmp/a,,b/disk.qcow2" in " ".join(disk_arguments(Path("/tmp/a,b/disk.qcow2")))


def test_a_stick_is_on_the_usb_bus_and_is_started_from() -> None:
    said = " ".join(disk_arguments(Path("/tmp/disk.qcow2"), usb=True))
    assert "usb-storage,drive=disk" in said
    assert "bootindex=0" in said
    assert "virtio-blk" not in said


def test_a_credential_survives_its_journey_through_an_option() -> None:
    options = credential_arguments([Credential("name", b"one,two=three\n")])
    assert options[0] == "-smbios"
    value = options[1].partition("name=")[2]
    assert "," not in value
    assert base64.b64decode(value) == b"one,two=three\n"


@pytest.mark.parametrize(
    ("name", "expected"), [("a.raw", "raw"), ("a.img", "raw"), ("a.qcow2", "qcow2")]
)
def test_the_suffix_says_how_a_disk_is_laid_out(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / name).touch()
    assert DiskFormat.of(tmp_path / name) == expected


def test_a_missing_artifact_is_the_persons_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such disk image"):
        DiskFormat.of(tmp_path / "none.raw")


def test_a_compressed_artifact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.raw.zst").touch()
    with pytest.raises(UserError, match="compressed"):
        DiskFormat.of(tmp_path / "a.raw.zst")


def test_the_disk_may_be_larger_than_the_artifact(toolbox: ScriptedToolbox, tmp_path: Path) -> None:
    toolbox.program("qemu-img", f'echo "$@" > {tmp_path}/called')
    artifact = tmp_path / "a.raw"
    artifact.touch()
    make_overlay(artifact, tmp_path, toolbox, size="8G")
    called = (tmp_path / "called").read_text()
    assert called == f"create -q -f qcow2 -b {artifact} -F raw {tmp_path}/disk.qcow2 {8 << 30}\n"


@pytest.mark.parametrize("name", ["a.raw", "a.qcow2"])
def test_the_disk_is_never_smaller_than_the_artifact(
    toolbox: ScriptedToolbox, tmp_path: Path, name: str
) -> None:
    toolbox.program("qemu-img", f'echo "$@" > {tmp_path}/called')
    artifact = tmp_path / name
    with artifact.open("wb") as file:
        file.write(b"QFI\xfb".ljust(24, b"\0") + (3 << 30).to_bytes(8, "big"))
        if name.endswith(".raw"):
            file.truncate(3 << 30)
    make_overlay(artifact, tmp_path, toolbox, size="1M")
    assert (tmp_path / "called").read_text().split()[-1] == str(3 << 30)


def test_a_size_that_is_none_is_refused(toolbox: ScriptedToolbox, tmp_path: Path) -> None:
    (tmp_path / "a.raw").touch()
    with pytest.raises(UserError, match="disk: 'huge' is not a size"):
        make_overlay(tmp_path / "a.raw", tmp_path, toolbox, size="huge")


def test_what_a_killed_driver_left_is_removed_and_what_is_in_use_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in ("dead", "alive", "foreign"):
        (tmp_path / f"llmos-vm-{name}").mkdir()
        if name != "foreign":
            (tmp_path / f"llmos-vm-{name}" / "lock").touch()
        os.utime(tmp_path / f"llmos-vm-{name}", (0, 0))
    with (tmp_path / "llmos-vm-alive" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with scratch_folder() as folder, scratch_folder() as another:
            assert folder.is_dir()
            assert another.is_dir()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["llmos-vm-alive", "llmos-vm-foreign"]


def test_secure_boot_keeps_the_firmwares_variables_from_the_guest() -> None:
    plain = Hardware().arguments(Accelerator.TCG)
    guarded = Hardware(secure_boot=True).arguments(Accelerator.TCG)
    assert "q35,smm=off,vmport=off" in plain
    assert "q35,smm=on,vmport=off" in guarded
    assert "driver=cfi.pflash01,property=secure,value=on" in guarded


def test_words_for_the_kernel_go_where_its_stub_reads_them() -> None:
    assert kernel_arguments([]) == []
    assert kernel_arguments(["a=1", "b"]) == [
        "-smbios",
        "type=11,value=io.systemd.stub.kernel-cmdline-extra=a=1 b",
    ]


def test_further_disks_are_written_to_and_named(tmp_path: Path) -> None:
    for name in ("one.qcow2", "two.raw"):
        (tmp_path / name).touch()
    options = further_disk_arguments([tmp_path / "one.qcow2", tmp_path / "two.raw"])
    assert "format=qcow2" in options[1]
    assert options[3] == "virtio-blk-pci,drive=disk1,serial=disk-1"
    assert "format=raw" in options[5]


def test_an_iso_goes_into_a_cd_drive_as_it_is(toolbox: ScriptedToolbox, tmp_path: Path) -> None:
    artifact = tmp_path / "x.iso"
    artifact.write_bytes(b"iso")
    said = " ".join(medium_arguments(artifact, tmp_path, toolbox))
    assert f"media=cdrom,format=raw,readonly=on,file={artifact}" in said
    assert "scsi-cd" in said
    assert "qcow2" not in said
    with pytest.raises(UserError, match="no such disk image"):
        medium_arguments(tmp_path / "none.iso", tmp_path, toolbox)
