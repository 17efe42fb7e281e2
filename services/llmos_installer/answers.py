"""The answer file of an installation that nobody watches: parsed strictly, all faults at once.

TOML or JSON. ``erase`` is the consent: the name or the serial number of the very disk that
``target`` finds, so that neither of the two alone can erase anything.

    erase = "S4EWNX0R123456"
    after = "reboot"
    [target]
    match = "serial"
    value = "S4EWNX0R123456"
    [user]
    name = "ada"
    password_hash = "$y$..."
"""

import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from llmos_installer import keys, settings
from llmos_installer.disks import Disk
from llmos_installer.errors import BadAnswers, BadInput
from llmos_installer.layout import Layout
from llmos_installer.plan import Choices, Encryption, reasons_against
from llmos_installer.settings import Settings, User

CREDENTIAL: Final = "llmos.install"
FILE: Final = "llmos-install.toml"
"""At the top of the stick's ESP."""


_Kind = TypeVar("_Kind", bound=StrEnum)


class Match(StrEnum):
    """How the disk is found."""

    ONLY = "only"
    SERIAL = "serial"
    ID = "id"


class After(StrEnum):
    """What the machine does when all is well."""

    REBOOT = "reboot"
    POWEROFF = "poweroff"


@dataclass(frozen=True, slots=True)
class Answers:
    """A whole answer file. ``again`` allows to install what the disk has already."""

    erase: str
    match: Match
    value: str = ""
    again: bool = False
    after: After = After.REBOOT
    encryption: Encryption = Encryption.NONE
    key: str = field(default="", repr=False)
    settings: Settings = field(default_factory=Settings)

    def choices(self, disks: Sequence[Disk], layout: Layout) -> Choices:
        """Find the disk that is meant.

        Raises:
            BadInput: there is none or more than one, or the consent is for another.
        """
        disk = self._target(disks, layout)
        if self.erase not in {disk.name, disk.serial}:
            raise BadInput(
                f"erase: '{self.erase}' is not {disk.name}"
                + (f" and not its serial number {disk.serial}" if disk.serial else ""),
                hint="Nothing was changed. 'erase' must name the disk that 'target' finds.",
            )
        return Choices(disk.name, self.encryption, self.key, self.settings)

    def _target(self, disks: Sequence[Disk], layout: Layout) -> Disk:
        match self.match:
            case Match.ONLY:
                found = [disk for disk in disks if not reasons_against(disk, layout)]
            case Match.SERIAL:
                found = [disk for disk in disks if disk.serial == self.value]
            case Match.ID:
                found = [disk for disk in disks if self.value in disk.ids]
        if len(found) == 1:
            return found[0]
        wanted = f"{self.match} {self.value}".strip()
        shown = ", ".join(disk.name for disk in found) or "none"
        refused = [
            f"{disk.name}: {'; '.join(reasons)}"
            for disk in disks
            if (reasons := reasons_against(disk, layout))
        ]
        raise BadInput(
            f"target: {wanted} must be exactly one disk, and is {shown}",
            hint="\n".join(["Nothing was changed.", *refused]),
        )


def parse(text: str, source: str, root: Path) -> Answers:
    """Read an answer file; ``source`` is what it is called, ``root`` the image's root.

    Raises:
        BadAnswers: with every fault that it has.
    """
    table = _decoded(text, source)
    reader = _Reader()
    top = reader.table(table, "", ("erase", "after", "target", "encryption", "system", "user"))
    target = reader.table(top.get("target"), "target", ("match", "value", "again"))
    locked = reader.table(top.get("encryption"), "encryption", ("kind", "key"))
    system = reader.table(top.get("system"), "system", ("hostname", "locale", "keymap", "timezone"))
    erase = reader.text(top, "erase", required=True)
    after = reader.one_of(top, "after", After, After.REBOOT)
    match = reader.one_of(target, "target.match", Match, None)
    value = reader.text(target, "target.value", required=match in {Match.SERIAL, Match.ID})
    if match is Match.ONLY and value:
        reader.faults.append("target.value: goes with match 'serial' and 'id' only")
    kind = reader.one_of(locked, "encryption.kind", Encryption, Encryption.NONE)
    key = reader.text(locked, "encryption.key", _key_check(kind), required=kind != Encryption.NONE)
    found = Settings(
        reader.text(system, "system.hostname", settings.hostname_fault),
        reader.text(system, "system.locale", lambda text: settings.locale_fault(text, root)),
        reader.text(system, "system.keymap", lambda text: settings.keymap_fault(text, root)),
        reader.text(system, "system.timezone", lambda text: settings.timezone_fault(text, root)),
        _user(reader, top.get("user"), root),
    )
    again = reader.flag(target, "target.again")
    if reader.faults:
        raise BadAnswers(source, reader.faults)
    return Answers(
        erase, match or Match.ONLY, value, again, after or After.REBOOT,
        kind or Encryption.NONE, key, found,
    )  # fmt: skip


def _decoded(text: str, source: str) -> object:
    try:
        if text.lstrip().startswith("{"):
            return json.loads(text)
        return tomllib.loads(text)
    except ValueError as error:
        raise BadAnswers(source, [str(error)]) from None


def _user(reader: "_Reader", found: object, root: Path) -> User | None:
    if found is None:
        return None
    taken = settings.account_names(root)
    table = reader.table(found, "user", ("name", "full_name", "password_hash"))
    return User(
        name=reader.text(
            table, "user.name", lambda text: settings.user_name_fault(text, taken), required=True
        ),
        full_name=reader.text(table, "user.full_name", settings.full_name_fault),
        password_hash=reader.text(table, "user.password_hash", settings.hash_fault, required=True),
    )


def _key_check(kind: Encryption | None) -> Callable[[str], str]:
    def fault(text: str) -> str:
        match kind:
            case Encryption.TPM2:
                wrong = "is no recovery key (llmos-install --new-recovery-key makes one)"
                return "" if keys.is_recovery_key(text) else wrong
            case Encryption.PASSPHRASE:
                return keys.passphrase_fault(text)
            case _:
                return "goes with kind 'tpm2' and 'passphrase' only"

    return fault


class _Reader:
    """Takes typed values out of tables, and keeps count of what is wrong with them."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def table(self, found: object, path: str, known: Sequence[str]) -> dict[str, object]:
        if found is None:
            return {}
        if not isinstance(found, dict):
            self.faults.append(f"{path or 'the file'}: is no table")
            return {}
        for key in found:
            if key not in known:
                name = f"{path}.{key}" if path else str(key)
                self.faults.append(f"{name}: unknown (one of: {', '.join(known)})")
        return found

    def text(
        self,
        table: dict[str, object],
        path: str,
        fault: Callable[[str], str] = lambda _: "",
        *,
        required: bool = False,
    ) -> str:
        found = table.get(path.rpartition(".")[2])
        if found is None or found == "":
            if required:
                self.faults.append(f"{path}: is missing")
            return ""
        if not isinstance(found, str):
            self.faults.append(f"{path}: is no text")
            return ""
        if wrong := fault(found):
            self.faults.append(f"{path}: {wrong}")
        return found

    def flag(self, table: dict[str, object], path: str) -> bool:
        found = table.get(path.rpartition(".")[2], False)
        if not isinstance(found, bool):
            self.faults.append(f"{path}: is neither true nor false")
        return found is True

    def one_of(
        self, table: dict[str, object], path: str, kind: type[_Kind], default: _Kind | None
    ) -> _Kind | None:
        found = table.get(path.rpartition(".")[2])
        if found is None:
            if default is None:
                self.faults.append(f"{path}: is missing (one of: {', '.join(kind)})")
            return default
        if found not in list(kind):
            self.faults.append(f"{path}: unknown '{found}' (one of: {', '.join(kind)})")
            return default
        return kind(str(found))
