"""Flashing real block devices by the real command, as a person at a terminal does it."""

import fcntl
import hashlib
import io
import json
import lzma
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from llmos_image import keys, signing
from llmos_image.errors import FlashFailed, UserError
from llmos_image.flash import source
from llmos_image.flash.device import opened
from llmos_image.flash.disks import Disk, Roots, find
from llmos_image.flash.meter import PlainMeter
from llmos_image.flash.source import Image
from llmos_image.flash.writer import write
from llmos_image.run import output
from llmos_image.vm_command import toolbox
from tests.integration.loop_device import loop_on, mounted, needs_loops

pytestmark = pytest.mark.integration

MIB = 1024**2
GPT = b"EFI PART"
SIZE = 40 * MIB + 4608
_CLI = "from llmos_image.cli import main; main()"
_BLKFLSBUF = 0x1261
_LOOP_SET_CAPACITY = 0x4C07


def disk_bytes() -> bytes:
    """What an image is made of: tables at both ends, data and zeros in between."""
    # Each 4 KiB says where it belongs, and compresses quickly.
    data = bytearray().join(f"{at:16}".encode() * 256 for at in range(0, SIZE, 4096))[:SIZE]
    data[20 * MIB : 32 * MIB] = bytes(12 * MIB)
    data[512:520] = GPT
    data[-512:-504] = GPT
    return bytes(data)


DATA = disk_bytes()


@pytest.fixture(autouse=True)
def loops() -> None:
    needs_loops()


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build's folder that was downloaded in part: its disk is there compressed only."""
    folder = tmp_path / "x_1"
    folder.mkdir()
    (folder / "x_1.raw.xz").write_bytes(lzma.compress(DATA, preset=0))
    file = {"name": "x_1.raw", "size": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest()}
    (folder / "image.json").write_text(json.dumps({"files": [file]}))
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
    ]
    (folder / signing.SUMS).write_text("".join(lines))
    return folder


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 MiB with an old system on it."""
    with loop_on(old_disk(tmp_path / "disk.img", 64 * MIB)) as found:
        yield found


def old_disk(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.write(b"\xa5" * size)
        file.seek(512)
        file.write(GPT)
        file.seek(-512, os.SEEK_END)
        file.write(GPT)
    return path


@dataclass
class Terminal:
    """``llmos-image flash`` at a terminal that the test types on."""

    arguments: list[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CLI, "flash", *self.arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, **self.environment},
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def wait_for(self, text: str) -> None:
        while text not in self.shown:
            assert self._read(), f"no {text!r} in: {self.shown}"

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode() + b"\n")

    def status(self) -> int:
        """How it ended; everything that it shows is in ``shown``."""
        while self._read():
            pass
        return self.process.wait(60)

    def _read(self) -> bool:
        try:
            piece = os.read(self._ours, 4096)
        except OSError:
            return False
        self.shown += piece.decode("utf-8", "replace")
        return bool(piece)


def bytes_on(node: Path, size: int = -1) -> bytes:
    with node.open("rb") as file:
        fcntl.ioctl(file, _BLKFLSBUF, 0)  # what is on the disk, not in the cache
        return file.read(size)


def has_a_table(node: Path) -> bool:
    data = bytes_on(node)
    return GPT in {data[512:520], data[-512:-504]}


def disk_at(node: Path) -> Disk:
    return find(str(node), Roots())


def flash_here(node: Path, pieces: Callable[[], Generator[bytes, None, None]]) -> None:
    """Write ``DATA`` by way of ``pieces`` without the command around it."""
    disk = disk_at(node)
    image = Image(pieces, len(DATA), hashlib.sha256(DATA).hexdigest())
    with opened(disk, lambda: disk_at(node)) as device:
        write(image, device, PlainMeter(io.StringIO()))


def all_pieces() -> Generator[bytes, None, None]:
    yield DATA


def test_a_person_flashes_a_disk_by_typing_its_name(build: Path, node: Path) -> None:
    with Terminal([build, node, "--allow-fixed"]) as terminal:
        terminal.wait_for("Type its name to go on")
        assert has_a_table(node), "nothing is touched before the person has agreed"
        terminal.type(node.name)
        assert terminal.status() == 0, terminal.shown
    assert f"{node.name}: written and compared" in terminal.shown
    assert "It is not signed" in terminal.shown
    assert bytes_on(node, len(DATA)) == DATA
    assert not any(bytes_on(node)[-MIB:]), "the old backup table is gone"


@pytest.mark.parametrize("typed", ["yes", ""])
def test_any_other_answer_leaves_the_disk_alone(build: Path, node: Path, typed: str) -> None:
    before = bytes_on(node)
    with Terminal([build, node, "--allow-fixed"]) as terminal:
        terminal.wait_for("Type its name to go on")
        terminal.type(typed)
        assert terminal.status() == 2
    assert "nothing was written" in terminal.shown
    assert bytes_on(node) == before


def flash_without_terminal(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _CLI, "flash", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_loop_is_never_flashed_without_being_typed(build: Path, node: Path) -> None:
    done = flash_without_terminal(build, node, "--yes", "--allow-fixed")
    assert done.returncode == 2
    assert "only ever confirmed by typing its name" in done.stderr
    done = flash_without_terminal(build, node, "--yes")
    assert done.returncode == 2
    assert "it is not removable (loop; see --allow-fixed)" in done.stderr


def test_away_from_a_terminal_the_disks_are_listed(build: Path, node: Path) -> None:
    done = flash_without_terminal(build, "--allow-fixed", "--json")
    assert done.returncode == 2
    (listed,) = [disk for disk in json.loads(done.stdout) if disk["name"] == node.name]
    assert (listed["size"], listed["transport"], listed["refused"]) == (64 * MIB, "loop", [])
    done = flash_without_terminal(build, "--allow-fixed")
    assert done.returncode == 2
    assert any(line.startswith(f"{node.name} ") for line in done.stdout.splitlines())


def test_the_disk_under_the_running_system_is_refused(build: Path) -> None:
    done = flash_without_terminal(build, "--allow-fixed", "--json")
    for disk in json.loads(done.stdout):
        if any("mounted on /" in reason for reason in disk["refused"]):
            said = flash_without_terminal(build, disk["name"], "--allow-fixed", "--yes").stderr
            assert "is not written" in said
            return
    pytest.skip("the root file system of this machine is on no disk of its own")


def test_a_disk_that_is_too_small_is_refused(build: Path, tmp_path: Path) -> None:
    with loop_on(old_disk(tmp_path / "small.img", 32 * MIB)) as node:
        before = bytes_on(node)
        done = flash_without_terminal(build, node, "--allow-fixed")
        assert done.returncode == 2
        assert "too small: it has 33,554,432 bytes (33.6 MB), the image 41,947,648" in done.stderr
        assert bytes_on(node) == before


def test_a_disk_with_a_mounted_partition_is_refused(
    build: Path, node: Path, tmp_path: Path
) -> None:
    for program in ("addpart", "mkfs.ext4"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    subprocess.run(["addpart", node, "1", "2048", "32768"], check=True)
    try:
        part = f"{node}p1"
        subprocess.run(["mkfs.ext4", "-q", part], check=True)
        with mounted(part, tmp_path / "place"):
            done = flash_without_terminal(build, node, "--allow-fixed")
            assert done.returncode == 2
            assert f"{node.name}p1 → mounted on {tmp_path / 'place'}" in done.stderr
            # And were that not seen, the kernel would still refuse.
            with pytest.raises(UserError, match="somebody holds it"):
                flash_here(node, all_pieces)
        done = flash_without_terminal(build, part, "--allow-fixed")
        assert f"is a partition of {node.name}" in done.stderr
    finally:
        subprocess.run(["delpart", node, "1"], check=True)


def test_nobody_can_mount_a_disk_that_is_being_written(node: Path, tmp_path: Path) -> None:
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    subprocess.run(["mkfs.ext4", "-q", node], check=True)
    (tmp_path / "place").mkdir()
    with opened(disk_at(node), lambda: disk_at(node)):
        tried = subprocess.run(
            ["mount", node, tmp_path / "place"], capture_output=True, text=True, check=False
        )
    assert tried.returncode != 0
    assert "busy" in tried.stderr or "already mounted" in tried.stderr


def test_a_disk_that_the_kernel_holds_is_refused_before_any_question(
    build: Path, node: Path
) -> None:
    """As ZFS does, which no list of mounts or holders names."""
    holder = os.open(node, os.O_RDONLY | os.O_EXCL)
    try:
        done = flash_without_terminal(build, node, "--allow-fixed")
    finally:
        os.close(holder)
    assert done.returncode == 2
    assert "somebody holds it" in done.stderr


def test_a_user_without_the_right_to_it_is_told_so_first(build: Path, node: Path) -> None:
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    if subprocess.run(
        [*nobody, sys.executable, "-c", "import llmos_image.cli"], check=False
    ).returncode:
        pytest.skip("only root can read this checkout")
    for path in (build, *build.parents):
        if path.stat().st_uid == os.getuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
        if path.name.startswith("pytest-of-"):
            break
    done = subprocess.run(
        [*nobody, sys.executable, "-c", _CLI, "flash", build, node, "--allow-fixed"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "may not write to it" in done.stderr
    assert "sudo" in done.stderr


def test_a_host_without_zstd_uses_the_tools_trees(tmp_path: Path) -> None:
    tools = toolbox().sandbox
    path = tmp_path / "x.raw"
    path.write_bytes(DATA)
    output(tools.argv(["zstd", "--quiet", path], binds=[tmp_path]))
    found = source.find(tmp_path / "x.raw.zst", tools.argv)
    image = found.measured(lambda _count: None)
    assert (image.size, image.sha256) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    assert b"".join(image.pieces()) == DATA


def test_a_disk_whose_medium_was_changed_is_not_opened(tmp_path: Path) -> None:
    with loop_on(old_disk(tmp_path / "one.img", 64 * MIB)) as node:
        before = disk_at(node)
    with loop_on(old_disk(tmp_path / "two.img", 64 * MIB)) as again:
        if again != node:
            pytest.skip("the second loop got another name")
        with (
            pytest.raises(UserError, match="is not the disk that it was a moment ago"),
            opened(before, lambda: disk_at(node)),
        ):
            pass
        assert has_a_table(node)


def test_a_disk_that_ends_too_early_is_full_and_does_not_boot(node: Path, tmp_path: Path) -> None:
    def shrinking() -> Generator[bytes, None, None]:
        yield DATA[: 24 * MIB]
        os.truncate(tmp_path / "disk.img", 20 * MIB)
        with node.open("rb") as file:
            fcntl.ioctl(file, _LOOP_SET_CAPACITY, 0)
        yield DATA[24 * MIB :]

    with pytest.raises(FlashFailed, match=r"is full at byte .* 67,108,864 bytes") as e:
        flash_here(node, shrinking)
    assert "half written and does not boot" in str(e.value.hint)
    assert not has_a_table(node)


def test_a_disk_that_fails_says_where_and_does_not_boot(tmp_path: Path) -> None:
    """A loop on a full file system: what the kernel cannot store there is an I/O error."""
    with mounted("tmpfs", tmp_path / "small", "-t", "tmpfs", "-o", "size=16M"):
        file = tmp_path / "small/disk.img"
        file.touch()
        os.truncate(file, 64 * MIB)
        with loop_on(file) as node:
            with pytest.raises(FlashFailed, match=r"cannot be written at byte|is full at") as e:
                flash_here(node, all_pieces)
            assert "half written and does not boot" in str(e.value.hint)
            assert not has_a_table(node)


@pytest.fixture
def stalling(tmp_path: Path, build: Path) -> Mapping[str, str]:
    """An environment in which xz gives the first half of the disk, and then next to nothing."""
    half = tmp_path / "half"
    half.write_bytes(DATA[: 24 * MIB])
    shim = tmp_path / "bin/xz"
    shim.parent.mkdir()
    # It ends with the pipe, whoever reads from that.
    shim.write_text(f"#!/bin/sh\ncat {half} || exit\nwhile sleep 0.1; do printf x || exit; done\n")
    shim.chmod(0o755)
    return {"PATH": f"{shim.parent}:{os.environ['PATH']}"}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_flash_that_is_ended_half_way_leaves_no_partition_table(
    build: Path, node: Path, stalling: Mapping[str, str], number: int, status: int
) -> None:
    with Terminal([build, node, "--allow-fixed"], stalling) as terminal:
        terminal.wait_for("Type its name to go on")
        terminal.type(node.name)
        deadline = time.monotonic() + 60
        while bytes_on(node, 9 * MIB)[8 * MIB :] != DATA[8 * MIB : 9 * MIB]:
            assert time.monotonic() < deadline, terminal.shown
            time.sleep(0.05)
        os.kill(terminal.process.pid, number)
        assert terminal.status() == status, terminal.shown
    assert not has_a_table(node)
    if number == signal.SIGINT:
        assert f"interrupted; {node.name} is half written and does not boot" in terminal.shown


def test_only_a_well_signed_image_reaches_the_disk_of_who_asks_for_that(
    build: Path, node: Path, tmp_path: Path
) -> None:
    made = keys.make(tmp_path / "keys", name="Acme", tools=toolbox().sandbox)
    options: list[str | Path] = [build, node, "--allow-fixed", "--keyring", made.keyring]
    before = bytes_on(node)
    assert "not signed" in flash_without_terminal(*options).stderr
    signing.sign(build, made.secret, toolbox().sandbox)
    done = flash_without_terminal(*options)
    assert f"Well signed by a key of {made.keyring}" in done.stderr
    assert "no terminal to ask at" in done.stderr
    (build / signing.SUMS).write_text("0" * 64 + "  x_1.raw.xz\n")
    done = flash_without_terminal(*options)
    assert done.returncode == 1
    assert "no good signature" in done.stderr
    assert bytes_on(node) == before
