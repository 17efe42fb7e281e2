"""What a build leaves: files that appear together or not at all.

OUT/<id>_<version>/
    <id>_<version>.raw      the disk (and .raw.zst, .qcow2, … where the spec asks)
    <id>_<version>.efi      its unified kernel image
    <id>_<version>.spdx.json, .cdx.json
                            what it is made of: SPDX 2.3 and CycloneDX 1.6
    <id>_<version>_<partition UUID>.root.zst, .verity.zst
                            what an update writes into the free slot
    image.json              what it is: version, spec digest, packages, checksums, sizes
    SHA256SUMS              for sha256sum --check
    SHA256SUMS.gpg          its OpenPGP signature, where the spec names keys
"""

import concurrent.futures
import contextlib
import ctypes
import datetime
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmos_image.cache import remove_tree
from llmos_image.errors import UserError
from llmos_image.spec import ImageSpec

SCHEMA = 1
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@dataclass(frozen=True)
class Artifact:
    """A finished build."""

    folder: Path
    facts: Mapping[str, Any]

    @property
    def disk(self) -> Path:
        """The raw disk image."""
        return self.folder / f"{self.folder.name}.raw"

    @property
    def sha256(self) -> str:
        """The disk's checksum."""
        return next(str(f["sha256"]) for f in self.facts["files"] if f["name"] == self.disk.name)


def name_of(spec: ImageSpec) -> str:
    """``<id>_<version>``: the folder's name and the stem of its files."""
    return f"{spec.image.id}_{spec.image.version}"


@contextlib.contextmanager
def publishing(out: Path, name: str) -> Iterator[Path]:
    """A folder beside ``out``/``name`` that takes its place when the block ends well."""
    partial = out / f".partial-{name}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        remove_tree(partial)
        partial.mkdir()
    except OSError as error:
        raise UserError(
            f"{out}: {error.strerror}", hint="Name another folder with --out."
        ) from None
    try:
        yield partial
        _swap(partial, out / name)
    finally:
        remove_tree(partial)


def describe(
    folder: Path,
    spec: ImageSpec,
    *,
    packages: Sequence[Mapping[str, Any]],
    sizes: Mapping[str, int],
    versions: Mapping[str, str],
) -> Mapping[str, Any]:
    """Write ``image.json`` and ``SHA256SUMS`` for the files in ``folder``."""
    # Side by side: the disk takes as long as all others together, and hashing frees the GIL.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        paths = [path for path in sorted(folder.iterdir()) if path.is_file()]
        files = list(pool.map(_file_facts, paths))
    facts = {
        "schema": SCHEMA,
        "id": spec.image.id,
        "version": spec.image.version,
        "description": spec.image.description,
        "spec_digest": spec.digest(),
        "built": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": dict(versions),
        "models": [{"name": m.target_name, "sha256": m.sha256} for m in spec.models],
        "files": files,
        "sizes": dict(sizes),
        "packages": list(packages),
    }
    _write_facts(folder, facts)
    return facts


def add(folder: Path, made: Path) -> Path:
    """Move the file ``made`` into the build ``folder``, and name it in its manifest and sums.

    A signature of the sums is taken away: it is of the old ones.
    """
    artifact = read(folder)
    target = folder / made.name
    facts = dict(artifact.facts)
    others = [dict(file) for file in facts["files"] if file["name"] != made.name]
    facts["files"] = sorted([*others, _file_facts(made)], key=lambda file: str(file["name"]))
    (folder / "SHA256SUMS.gpg").unlink(missing_ok=True)
    shutil.move(made, target)
    _write_facts(folder, facts)
    return target


def read(folder: Path) -> Artifact:
    """The artifact in ``folder``.

    Raises:
        UserError: there is none.
    """
    try:
        return Artifact(folder, json.loads((folder / "image.json").read_text()))
    except (OSError, ValueError):
        raise UserError(
            f"{folder}: no image there", hint="Build one: llmos-image build SPEC."
        ) from None


def all_in(out: Path) -> Sequence[Artifact]:
    """Every artifact below ``out``, newest first."""
    found = [read(path.parent) for path in out.glob("[!.]*/image.json")]
    return sorted(found, key=lambda artifact: str(artifact.facts["built"]), reverse=True)


def newest_in(out: Path) -> Artifact:
    """The newest artifact below ``out``.

    Raises:
        UserError: there is none.
    """
    images = all_in(out)
    if not images:
        raise UserError(f"{out}: no image there", hint="Build one: ./build.sh")
    return images[0]


def _write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    manifest = folder / "image.json"
    partial = folder / ".image.json"
    partial.write_text(json.dumps(facts, indent=1) + "\n")
    partial.replace(manifest)
    files = [*facts["files"], _file_facts(manifest)]
    sums = folder / ".SHA256SUMS"
    sums.write_text("".join(f"{file['sha256']}  {file['name']}\n" for file in files))
    sums.replace(folder / "SHA256SUMS")


def _file_facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    status = path.stat()
    used = status.st_blocks * 512
    return {"name": path.name, "size": status.st_size, "disk_size": used, "sha256": digest}


def _swap(partial: Path, final: Path) -> None:
    """Put ``partial`` in the place of ``final`` in one step (renameat2(2))."""
    for path in partial.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if not final.exists():
        partial.rename(final)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    old, new = os.fsencode(partial), os.fsencode(final)
    if libc.renameat2(_AT_FDCWD, old, _AT_FDCWD, new, _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(final))
