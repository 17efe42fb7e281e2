"""Every format by the real programs: it holds the disk's bytes, and twice is the same file."""

import hashlib
from pathlib import Path

import pytest

from llmos_image import formats
from llmos_image.run import Log, output
from llmos_image.spec import Format
from llmos_image.tools import ToolsTree
from llmos_image.vm_command import toolbox

pytestmark = pytest.mark.integration

MIB = 1024**2
# An ISO needs a disk with partitions: tests/unit/image/test_iso.py.
MADE = [wanted for wanted in Format if wanted not in {Format.RAW, Format.UKI, Format.ISO}]


@pytest.fixture(scope="module")
def tools() -> ToolsTree:
    return toolbox()


def disk_in(folder: Path) -> Path:
    folder.mkdir()
    raw = folder / "x_1.raw"
    with raw.open("wb") as file:
        file.write(b"the beginning" * 1000)
        file.seek(40 * MIB)
        file.write(bytes(range(256)) * 5000)
        file.truncate(64 * MIB)
    return raw


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_back(tools: ToolsTree, path: Path, wanted: Format, target: Path) -> None:
    """The raw disk in the file ``path``, written by the programs that people use."""
    if wanted in {Format.RAW_ZST, Format.RAW_XZ}:
        program = "zstd" if wanted is Format.RAW_ZST else "xz"
        script = f"{program} -dc < '{path}' > '{target}'"
        argv = ["sh", "-c", script]
    else:
        argv = ["qemu-img", "convert", "-f", wanted, "-O", "raw", str(path), str(target)]
        output(tools.sandbox.argv(["qemu-img", "check", "-f", wanted, path], ro_binds=[path]))
    output(tools.sandbox.argv(argv, ro_binds=[path], binds=[target.parent]))


@pytest.mark.parametrize("wanted", MADE)
def test_a_format_holds_the_disk_and_is_the_same_twice(
    tools: ToolsTree, tmp_path: Path, wanted: Format
) -> None:
    made = []
    for number in "12":
        raw = disk_in(tmp_path / number)
        formats.convert(raw.parent, "x_1", [wanted, Format.RAW], tools, Log(tmp_path / "log"))
        made.append(raw.parent / f"x_1.{wanted.suffix}")
    assert digest(made[0]) == digest(made[1])
    assert made[0].stat().st_size < 64 * MIB
    (tmp_path / "back").mkdir()
    read_back(tools, made[0], wanted, tmp_path / "back/disk")
    assert digest(tmp_path / "back/disk") == digest(tmp_path / "1/x_1.raw")
