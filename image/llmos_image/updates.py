"""What of a build, or of a model, is an update for machines that run."""

import mmap
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from llmos_image import signing
from llmos_image.artifacts import Artifact
from llmos_image.errors import UserError, VerifyFailed
from llmos_image.publish import Update
from llmos_image.run import output
from llmos_image.sbom.models import metadata
from llmos_image.vm.toolbox import Toolbox

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.~-]{0,30}")


def of_build(artifact: Artifact, unpack: Callable[[Path, Path], None]) -> Sequence[Update]:
    """The kernel image, the root, its hash tree, and the extensions of a build.

    ``unpack`` writes what a zstd file has in it to another file.

    Raises:
        UserError: the build has no partitions of its own.
        VerifyFailed: its kernel image names another root than the one beside it.
    """
    name = artifact.folder.name
    sums = signing.read_sums(artifact.folder / signing.SUMS)
    image_id, version = str(artifact.facts["id"]), str(artifact.facts["version"])
    system = re.compile(rf"{re.escape(name)}(\.efi|_[0-9a-f-]+\.(root|verity)\.zst)")
    extension = re.compile(rf"{re.escape(image_id)}-[a-z0-9-]+_{re.escape(version)}\.raw")
    names = sorted(n for n in sums if system.fullmatch(n) or extension.fullmatch(n))
    roots = [n for n in names if n.endswith(".root.zst")]
    if len(roots) != 1 or len([n for n in names if n.endswith(".verity.zst")]) != 1:
        raise UserError(
            f"{artifact.folder}: no root and verity partitions beside the disk",
            hint="Build it again: llmos-image build SPEC.",
        )
    _check_pair(artifact.folder / f"{name}.efi", roots[0].split("_")[-1].partition(".")[0])
    return [
        Update(
            source=artifact.folder / name,
            name=f"{name.removesuffix('.zst')}.gz" if name.endswith(".zst") else name,
            sha256=sums[name],
            unpack=unpack if name.endswith(".zst") else None,
        )
        for name in names
    ]


def unpack_with(tools: Toolbox) -> Callable[[Path, Path], None]:
    """What unpacks zstd files, by a program of ``tools``."""

    def unpack(source: Path, target: Path) -> None:
        command = ["zstd", "-q", "-d", "-f", str(source), "-o", str(target)]
        output(tools.argv(command, ro_binds=[source.parent], binds=[target.parent]))

    return unpack


def of_model(path: Path, version: str | None = None) -> Update:
    """A model; without ``version``, the one that the file itself says.

    Raises:
        UserError: there is no such GGUF file, or it has no usable version.
    """
    if not path.is_file() or path.suffix != ".gguf":
        raise UserError(f"{path}: no GGUF file", hint="Name a file that ends with .gguf.")
    found = version or metadata(path).get("general.version", "")
    if not _VERSION.fullmatch(found):
        raise UserError(
            f"{path}: has no version" if not found else f"{path}: {found!r} is not a version",
            hint="Name one: --model PATH=VERSION, of letters, digits, '.', '~' and '-'.",
        )
    return Update(path, f"{path.stem}_{found}.gguf")


def _check_pair(uki: Path, partition: str) -> None:
    """The root's UUID is the first half of the root hash in the kernel image's command line."""
    with uki.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        hashes = set(re.findall(rb"roothash=([0-9a-f]{64})", image))
    expected = partition.replace("-", "")
    if {found[:32].decode() for found in hashes} != {expected}:
        said = ", ".join(sorted(found.decode() for found in hashes)) or "none"
        raise VerifyFailed(
            f"{uki}: its root hash ({said}) is not that of the root {partition}",
            hint="A machine would not boot it. Build it again.",
        )
