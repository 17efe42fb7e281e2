"""A folder of updates that machines read, over a web server or as a file system.

    DIR/<id>_<version>.efi                  kernel image
    DIR/<id>_<version>_<UUID>.root.gz       root, .verity.gz its hash tree
    DIR/<id>-<extension>_<version>.raw      system extensions
    DIR/<model>_<version>.gguf              models
    DIR/SHA256SUMS, SHA256SUMS.gpg          all of it, signed: what systemd-sysupdate reads

The systemd of the target unpacks gzip and xz, and would write zstd as it is into a partition.
gzip is far the cheaper one here: a root file system is compressed inside already, and only the
empty rest of its partition has to go.

A file appears whole, by a rename; then the list names it; then what the list no longer names
goes. A reader that catches the list and its signature between their two renames refuses both
and asks again later.
"""

import contextlib
import fcntl
import gzip
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos_image import signing
from llmos_image.errors import ImageError, UserError, VerifyFailed
from llmos_image.keys import Keys
from llmos_image.versions import newest_first
from llmos_image.vm.toolbox import Toolbox

_NAME = re.compile(
    r"(?P<component>.+?)_(?P<version>[^_]+)(?:_[0-9a-f-]{32,36})?"
    r"\.(?:efi|root\.gz|verity\.gz|raw|gguf)"
)
_BLOCK = 1 << 20
_READY = ".ready"


@dataclass(frozen=True)
class Update:
    """A file to publish: where it is, its name there, and its SHA-256 where that is known."""

    source: Path
    name: str
    sha256: str | None = None
    unpack: Callable[[Path, Path], None] | None = None
    """Writes what is packed in the first file to the second one; it is then packed with gzip.

    Such a file is named after its content, by a partition's UUID.
    """


@dataclass(frozen=True)
class Report:
    """What a publication did; names of files."""

    added: Sequence[str]
    kept: Sequence[str]
    removed: Sequence[str]


@dataclass(frozen=True)
class Signer:
    """Who signs the list."""

    keys: Keys
    tools: Toolbox


def publish(folder: Path, updates: Sequence[Update], *, keep: int, signer: Signer | None) -> Report:
    """Add ``updates`` to ``folder`` and keep the ``keep`` newest versions of each component.

    Raises:
        UserError: the folder cannot be written, or has another build of the same version.
        VerifyFailed: the folder's list is not signed by this key: adding to it would vouch
            for files of somebody else.
    """
    with _locked(folder):
        before = _published(folder, signer)
        _refuse_another_build(folder, before, updates)
        _refuse_other_bytes(folder, before, updates)
        new = [update for update in updates if update.name not in before]
        with _taken_back_on_failure(folder, new):
            listed = {**before, **{update.name: _add(folder, update) for update in new}}
            names = _newest(listed, keep)
            _write_list(folder, {name: listed[name] for name in sorted(names)}, signer)
        dropped = sorted(set(listed) - names)
        for name in dropped:
            (folder / name).unlink(missing_ok=True)
    added = sorted({update.name for update in new} & names)
    return Report(added, sorted(names), dropped)


def component_of(name: str) -> tuple[str, str]:
    """The component and the version of a published file.

    Raises:
        UserError: it is not named like one.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UserError(f"{name}: not the name of an update (accepted: NAME_VERSION.SUFFIX)")
    return match["component"], match["version"]


def _published(folder: Path, signer: Signer | None) -> Mapping[str, str]:
    """The sums of the files that are there, by name."""
    if not (folder / signing.SUMS).exists():
        return {}
    if signer is not None:
        try:
            signing.verify_signature(folder, signer.keys.keyring, signer.tools)
        except VerifyFailed as error:
            raise VerifyFailed(
                f"{error.what}\nNothing is added to a list that this key did not sign.",
                hint="Use the keys that signed it, or publish to a new folder.",
            ) from None
    listed = signing.read_sums(folder / signing.SUMS)
    return {name: digest for name, digest in listed.items() if (folder / name).is_file()}


def _refuse_another_build(
    folder: Path, before: Mapping[str, str], updates: Sequence[Update]
) -> None:
    """A root of other bytes has another name: the UUIDs in names come from the bytes."""
    wanted: dict[tuple[str, str], set[str]] = {}
    for update in updates:
        wanted.setdefault(component_of(update.name), set()).add(update.name)
    for (component, version), names in wanted.items():
        there = {name for name in before if component_of(name) == (component, version)}
        if there and not there <= names:
            _refuse(folder, component, version)


def _refuse_other_bytes(folder: Path, before: Mapping[str, str], updates: Sequence[Update]) -> None:
    for update in updates:
        if update.unpack or update.name not in before:
            continue
        if _digest(update.source) != before[update.name]:
            _refuse(folder, *component_of(update.name))


def _refuse(folder: Path, component: str, version: str) -> None:
    raise UserError(
        f"{folder}: has {component} {version} already, with other bytes",
        hint="Machines may have taken it. Give this build a new version in its spec.",
    )


def _add(folder: Path, update: Update) -> str:
    """Copy a file, whole or not at all; the SHA-256 of what is there now."""
    with _replacing(folder / update.name) as partial:
        if update.unpack:
            _check(update, _digest(update.source))
            _repack(update, partial)
            return _digest(partial)
        digest = hashlib.sha256()
        with update.source.open("rb") as source, partial.open("wb") as target:
            while block := source.read(_BLOCK):
                digest.update(block)
                target.write(block)
        _check(update, digest.hexdigest())
    return digest.hexdigest()


def _check(update: Update, digest: str) -> None:
    if update.sha256 not in {None, digest}:
        raise VerifyFailed(
            f"{update.source}: has {digest}, not {update.sha256}",
            hint="The build was changed after it was made. Build it again.",
        )


def _repack(update: Update, target: Path) -> None:
    assert update.unpack is not None  # noqa: S101  # asked by _add
    raw = target.with_name(f"{target.name}.raw")
    try:
        update.unpack(update.source, raw)
        # No name and no time in it: the same content gives the same bytes.
        with (
            raw.open("rb") as source,
            target.open("wb") as file,
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
        ):
            shutil.copyfileobj(source, packed, _BLOCK)
    finally:
        raw.unlink(missing_ok=True)


def _newest(listed: Mapping[str, str], keep: int) -> set[str]:
    """The names of the ``keep`` newest versions of each component."""
    versions: dict[str, set[str]] = {}
    for name in listed:
        component, version = component_of(name)
        versions.setdefault(component, set()).add(version)
    kept = {component: newest_first(found)[:keep] for component, found in versions.items()}
    return {
        name
        for name in listed
        for component, version in [component_of(name)]
        if version in kept[component]
    }


def _write_list(folder: Path, sums: Mapping[str, str], signer: Signer | None) -> None:
    text = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    made = Path(tempfile.mkdtemp(prefix=".list-", dir=folder))
    try:
        (made / signing.SUMS).write_text(text)
        if signer is not None:
            signing.sign(made, signer.keys.secret, signer.tools)
            # The last moment to notice that the two keys do not belong together.
            signing.verify_signature(made, signer.keys.keyring, signer.tools)
        for path in made.iterdir():
            path.chmod(0o644)
            _sync(path)
        # From here on it counts: whoever comes next finishes what is interrupted.
        made.rename(folder / _READY)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    _settle(folder)
    if signer is None:
        (folder / signing.SIGNATURE).unlink(missing_ok=True)


def _settle(folder: Path) -> None:
    """Put the list and signature that are ready in their places."""
    ready = folder / _READY
    if ready.is_dir():
        for path in sorted(ready.iterdir(), reverse=True):
            path.replace(folder / path.name)
        ready.rmdir()
        _sync(folder)


@contextlib.contextmanager
def _taken_back_on_failure(folder: Path, updates: Sequence[Update]) -> Iterator[None]:
    """What the block added goes again when it fails before the list names it."""
    try:
        yield
    except BaseException:
        if not (folder / _READY).exists():
            for update in updates:
                (folder / update.name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file that takes the place of ``path`` when the block ends well."""
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        partial.chmod(0o644)
        _sync(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Only one publication at a time is in the block; its failures are told as the person's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _settle(folder)
            for left in folder.glob(".list-*"):
                shutil.rmtree(left)
            for left in folder.glob(".partial-*"):
                left.unlink()
            yield
    except OSError as error:
        raise ImageError(
            f"{error.filename or folder}: {error.strerror}",
            hint="What was published before is as it was.",
        ) from None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
