"""What is different between two builds: packages, files, sizes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from llmos_image.artifacts import Artifact
from llmos_image.errors import BuildFailed
from llmos_image.gpt import partitions
from llmos_image.root_files import FileState, files_of
from llmos_image.vm.toolbox import Toolbox

Value = TypeVar("Value")


@dataclass(frozen=True)
class Change(Generic[Value]):
    """One thing that is not the same in both; None where it does not exist."""

    name: str
    before: Value | None
    after: Value | None


@dataclass(frozen=True)
class Difference:
    """Everything that is not the same."""

    packages: Sequence[Change[str]]
    """Versions, by ``kind:name``."""
    sizes: Sequence[Change[int]]
    """Bytes of files, partitions and parts, also of those that did not change."""
    contents: Sequence[Change[str]]
    """Checksums of the builds' own files."""
    files: Sequence[Change[FileState]] | None
    """Files of the root; None where one of the roots cannot be read without mounting it."""

    @property
    def same_disk(self) -> bool:
        """Whether the disks, and all other formats of them, are the same bytes."""
        return not self.contents


def compare(before: Artifact, after: Artifact, tools: Toolbox) -> Difference:
    """What is different between two builds.

    Raises:
        BuildFailed: a disk is gone or damaged.
    """
    sums = [_contents(one) for one in (before, after)]
    return Difference(
        packages=changes(*_packages(before, after)),
        sizes=changes(_sizes(before), _sizes(after), also_same=True),
        contents=changes(*sums),
        files=_files(before, after, tools),
    )


def changes(
    before: Mapping[str, Value], after: Mapping[str, Value], *, also_same: bool = False
) -> list[Change[Value]]:
    """Where the two are not the same, sorted by name."""
    names: Iterable[str] = sorted({*before, *after})
    found = (Change(name, before.get(name), after.get(name)) for name in names)
    return [change for change in found if also_same or change.before != change.after]


def _files(before: Artifact, after: Artifact, tools: Toolbox) -> list[Change[FileState]] | None:
    if before.sha256 == after.sha256:
        return []
    roots = [files_of(one.disk, tools) for one in (before, after)]
    if roots[0] is None or roots[1] is None:
        return None
    return changes(roots[0], roots[1])


def _packages(before: Artifact, after: Artifact) -> tuple[dict[str, str], dict[str, str]]:
    """Versions by ``kind:name``: from the SBOMs, else, where one has none, Debian's only."""
    sboms = [one.folder / f"{one.folder.name}.cdx.json" for one in (before, after)]
    if all(sbom.is_file() for sbom in sboms):
        return _components(sboms[0]), _components(sboms[1])
    return _debian(before), _debian(after)


def _components(sbom: Path) -> dict[str, str]:
    found = {}
    for part in json.loads(sbom.read_text())["components"]:
        kind = part.get("purl", "pkg:model/").removeprefix("pkg:").partition("/")[0]
        found[f"{kind}:{part['name']}"] = str(part["version"])
    return found


def _debian(artifact: Artifact) -> dict[str, str]:
    return {f"deb:{p['name']}": str(p["version"]) for p in artifact.facts["packages"]}


def _sizes(artifact: Artifact) -> dict[str, int]:
    """Bytes by what they are of; names that carry the version or a UUID are shortened."""
    sizes = {f"file {_short(artifact, f['name'])}": int(f["size"]) for f in _own_files(artifact)}
    if not artifact.disk.is_file():
        raise BuildFailed(f"{artifact.disk}: gone", hint="Build the image again.")
    for part in partitions(artifact.disk):
        # Named after the version where there are two slots of it.
        name = part.name.replace(artifact.folder.name, "root")
        sizes[f"partition {name}"] = part.size
    return sizes | {f"part {name}": int(size) for name, size in artifact.facts["sizes"].items()}


def _contents(artifact: Artifact) -> dict[str, str]:
    return {_short(artifact, f["name"]): str(f["sha256"]) for f in _own_files(artifact)}


def _own_files(artifact: Artifact) -> Sequence[Mapping[str, str]]:
    files: Sequence[Mapping[str, str]] = artifact.facts["files"]
    return files


def _short(artifact: Artifact, name: str) -> str:
    rest = name.removeprefix(artifact.folder.name)
    return f"*{rest}" if rest.startswith(".") else f"*.{rest.partition('.')[2]}"
