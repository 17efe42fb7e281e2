"""A stick to install from, made of a tiny tree by the tools tree's systemd-repart."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos_image.tools import Sandbox
from llmos_installer.layout import Layout, Slot
from llmos_installer.programs import HostPrograms, nothing
from llmos_installer.running import Running
from llmos_installer.world import World

MIB = 1024**2
# FAT32 needs 65,525 clusters: 33 MiB of 512 bytes.
LAYOUT = Layout(esp=40 * MIB, root=24 * MIB, verity=1 * MIB, data=32 * MIB)
DEFINITIONS = {
    "10-verity.conf": "Type=root-verity\nLabel=demo_1.0_verity\nVerity=hash\n"
    "VerityMatchKey=root\nMinimize=best\n",
    "20-root.conf": "Type=root\nLabel=demo_1.0\nFormat=erofs\nCopyFiles={tree}:/\n"
    "Verity=data\nVerityMatchKey=root\nMinimize=best\n",
}


@dataclass(frozen=True)
class SandboxPrograms:
    """The tools tree's programs, which see the folder ``work`` and the devices of this machine."""

    sandbox: Sandbox
    work: Path

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        tick: Callable[[], None] = nothing,
        seconds: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        command = self.sandbox.argv(
            argv, binds=[self.work], ro_binds=[Path("/sys")], mounts={Path("/dev"): "/dev"}, env=env
        )
        return HostPrograms()(command, tick=tick, seconds=seconds)


@dataclass(frozen=True)
class Stick:
    """What is installed, and the world in which the installer finds it."""

    world: World
    programs: SandboxPrograms
    running: Running
    root_hash: str


@contextlib.contextmanager
def loop(path: Path, *, offset: int = 0, size: int = 0) -> Iterator[Path]:
    """A block device over a part of a file."""
    window = ["--offset", str(offset), "--sizelimit", str(size)] if size else []
    made = subprocess.run(
        ["losetup", "--find", "--show", *window, path], check=True, capture_output=True, text=True
    )
    device = Path(made.stdout.strip())
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@contextlib.contextmanager
def stick(sandbox: Sandbox, work: Path) -> Iterator[Stick]:
    """A verified root in ``work``, attached as the running system's would be."""
    programs = SandboxPrograms(sandbox, work)
    tree, definitions, image = work / "tree", work / "definitions", work / "stick.raw"
    (tree / "usr/bin").mkdir(parents=True)
    shutil.copy2("/usr/bin/env", tree / "usr/bin/env")
    (tree / "usr/bin/random").write_bytes(os.urandom(6 * MIB))
    definitions.mkdir()
    for name, text in DEFINITIONS.items():
        (definitions / name).write_text("[Partition]\n" + text.format(tree=tree))
    answer = programs(
        ["systemd-repart", "--empty=create", "--size=auto", "--offline=yes", "--dry-run=no",
         f"--definitions={definitions}", "--json=short", image]
    )  # fmt: skip
    parts = {part["label"]: part for part in json.loads(answer)}
    root, verity = parts["demo_1.0"], parts["demo_1.0_verity"]
    _esp(work / "esp")
    world = _world(work)
    with (
        loop(image, offset=root["offset"], size=root["raw_size"]) as data,
        loop(image, offset=verity["offset"], size=verity["raw_size"]) as hashes,
    ):
        yield Stick(
            world,
            programs,
            Running(
                "demo", "1.0", "stick", Slot(data, root["uuid"], root["label"]),
                Slot(hashes, verity["uuid"], verity["label"]), Path("/dev/stick1"), LAYOUT.esp,
            ),
            root["roothash"],
        )  # fmt: skip


@contextlib.contextmanager
def attached(world: World, path: Path) -> Iterator[Path]:
    """The disk that is in a file, as a device that the installer sees."""
    with loop(path) as device:
        _attach(world, device)
        try:
            yield device
        finally:
            shutil.rmtree(world.sys / "block" / device.name)


def _attach(world: World, device: Path) -> None:
    folder = world.sys / "block" / device.name
    (folder / "device").mkdir(parents=True)
    real = Path("/sys/block") / device.name
    for name in ("size", "ro", "dev", "diskseq", "stat"):
        (folder / name).symlink_to(real / name)


def _esp(folder: Path) -> None:
    for path, text in {
        "EFI/BOOT/BOOTX64.EFI": "loader",
        "EFI/systemd/systemd-bootx64.efi": "loader",
        "EFI/Linux/demo_1.0+2-1.efi": "kernel",
        "EFI/Linux/demo_0.9.efi": "another kernel",
        "loader/loader.conf": "timeout 3\n",
        "loader/random-seed": "the stick's own",
        "llmos-install.toml": "secret",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def _world(work: Path) -> World:
    """This machine's devices; a sysfs of our own, in which the stick's ESP is mounted."""
    (work / "run").mkdir()
    (work / "sys/class/block/stick1").mkdir(parents=True)
    (work / "sys/class/block/stick1/dev").write_text("8:1\n")
    (work / "proc/self").mkdir(parents=True)
    (work / "proc/self/mountinfo").write_text(f"30 1 8:1 / {work}/esp ro - vfat /dev/stick1 ro\n")
    (work / "root/etc").mkdir(parents=True)
    for name, text in {
        "passwd": "root:x:0:0:root:/root:/bin/bash\nllmos:x:1000:1000::/home/llmos:/bin/bash\n",
        "group": "root:x:0:\nsudo:x:27:llmos\nsystemd-journal:x:999:\n",
        "shadow": "root:!*:20000::::::\nllmos:!*:20000::::::\n",
        "gshadow": "root:*::\nsudo:*::llmos\n",
    }.items():
        (work / "root/etc" / name).write_text(text)
    (work / "root/etc/shadow").chmod(0o640)
    return World(sys=work / "sys", proc=work / "proc", run=work / "run", root=work / "root")
