"""The boot loader: the system's kernel images in its menu, and which one starts next."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from llmos_ctl.errors import CtlError
from llmos_ctl.run import Run
from llmos_ctl.update import versions
from llmos_ctl.update.tries import KernelImage, Tries

VENDOR: Final = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
"""Whose EFI variables these are: https://systemd.io/BOOT_LOADER_INTERFACE."""

EFI_VARIABLES: Final = Path("/sys/firmware/efi/efivars")
_FALLBACK: Final = Path("loader/llmos-fallback.txt")
_ATTRIBUTES: Final = 4
"""Bytes before an EFI variable's value, as Linux shows it."""


class _Listed(msgspec.Struct):
    """One entry of ``bootctl list --json``, as far as it matters here."""

    type: str = ""
    path: str | None = None


@dataclass(frozen=True)
class Entry:
    """A kernel image of the system, in the menu."""

    path: Path
    image: KernelImage
    is_next: bool = False
    """Whether it starts next, as things stand."""

    @property
    def id(self) -> str:
        """What systemd-boot calls its normal start; bootctl 257 shows another name."""
        return replace(self.image, tries=None).name.lower()


@dataclass(frozen=True)
class LeftBehind:
    """A version that the initrd could not start, so that it chose the other slot's."""

    version: str
    reason: str

    def is_of(self, entry: Entry) -> bool:
        """Whether ``entry`` is that version; the boot loader knows small letters only."""
        return entry.image.version.lower() == self.version.lower()


class Loader:
    """systemd-boot, seen by ``bootctl`` and by the EFI variables that it leaves."""

    def __init__(self, run: Run, variables: Path = EFI_VARIABLES) -> None:
        self._run = run
        self._variables = variables

    @property
    def is_on_trial(self) -> bool:
        """Whether this start is one of a counted few, and has not been found good yet."""
        if not self._path("LoaderBootCountPath").exists():
            return False
        # The variable stays as the boot loader has set it.
        blessed = self._run(["systemctl", "is-active", "--quiet", "systemd-bless-boot.service"])
        return blessed.status != 0

    @property
    def pinned(self) -> str:
        """The entry that somebody chose for all starts; empty when the versions decide."""
        try:
            value = self._path("LoaderEntryDefault").read_bytes()[_ATTRIBUTES:]
        except OSError:
            return ""
        return value.decode("utf-16-le", "replace").partition("\0")[0]

    def entries(self, image_id: str) -> tuple[Entry, ...]:
        """The kernel images of ``image_id``, the newest first.

        Raises:
            CtlError: bootctl cannot read the ESP; it needs root.
        """
        done = self._run(["bootctl", "--json=short", "list"])
        if done.status:
            raise CtlError(f"the boot menu cannot be read: {_last_line(done.err)}")
        try:
            found = msgspec.json.decode(done.out or "[]", type=list[_Listed])
        except msgspec.DecodeError as error:
            raise CtlError(f"bootctl answers in a way that was not expected: {error}") from None
        entries = _of_image(found, image_id)
        following = _next(entries, self.pinned)
        return tuple(replace(entry, is_next=entry is following) for entry in entries)

    def left_behind(self, entries: Sequence[Entry]) -> LeftBehind | None:
        """What the initrd wrote when it chose the other slot, on the ESP of ``entries``."""
        for path in _fallback(entries):
            try:
                text = path.read_text("utf-8", "replace")
            except OSError:
                return None
            booted, _, reason = text.strip().partition(" ")
            _, underscore, version = booted.partition("_")
            return LeftBehind(version, reason) if underscore else None
        return None

    def start_next(self, entry: Entry) -> None:
        """Start ``entry`` next and from then on."""
        self._pin(entry.id)

    def follow_versions(self, entries: Sequence[Entry] = ()) -> None:
        """Start the newest version that is not known to fail, as a machine does by itself.

        What was written about the versions that ``entries`` were is of the past then.
        """
        if self.pinned:
            self._pin("")
        for path in _fallback(entries):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise CtlError(f"{path}: {error.strerror}") from None

    def try_again(self, entry: Entry, tries: Tries) -> None:
        """Give ``entry`` a new count of tries.

        Raises:
            CtlError: its file cannot be renamed.
        """
        target = entry.path.with_name(replace(entry.image, tries=tries).name)
        try:
            entry.path.rename(target)
        except OSError as error:
            raise CtlError(f"{entry.path}: {error.strerror}") from None

    def _pin(self, identifier: str) -> None:
        done = self._run(["bootctl", "set-default", identifier])
        if done.status:
            raise CtlError(f"the boot menu's default cannot be set: {_last_line(done.err)}")

    def _path(self, variable: str) -> Path:
        return self._variables / f"{variable}-{VENDOR}"


def _fallback(entries: Sequence[Entry]) -> set[Path]:
    """Where the initrd writes: on the ESP, which has its kernel images in EFI/Linux."""
    return {entry.path.parents[2] / _FALLBACK for entry in entries}


def _of_image(found: Sequence[_Listed], image_id: str) -> list[Entry]:
    """One entry a file: besides its normal start the menu has its other modes."""
    paths = {Path(listed.path) for listed in found if listed.type == "type2" and listed.path}
    entries = [
        Entry(path, image) for path in paths if (image := KernelImage.of(path.name, image_id))
    ]
    return sorted(entries, key=lambda entry: versions.key(entry.image.version), reverse=True)


def _next(entries: Sequence[Entry], pinned: str) -> Entry | None:
    """What systemd-boot would choose: it puts behind all others what has no tries left."""
    hopeful = (entry for entry in entries if not entry.image.is_exhausted)
    best = next(hopeful, entries[0] if entries else None)
    return next((entry for entry in entries if entry.id == pinned), best)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it gives no reason"])[-1]
