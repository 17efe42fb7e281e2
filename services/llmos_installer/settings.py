"""What the new system is told: its name, its language, its first user; as files of its ``/etc``.

They are written to a folder that becomes the top of the new data partition. Its ``etc/upper``
lies over the image's own ``/etc`` at every boot.
"""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

GROUPS: Final = ("sudo", "systemd-journal")
"""Of the first user: may become root by a password, and read the journal."""
ACCOUNTS: Final = ("passwd", "group", "shadow", "gshadow")
SHELL: Final = "/usr/bin/llmos-shell"
FIRST_UID: Final = 1000
_KEYMAPS: Final = ("usr/share/keymaps", "usr/share/kbd/keymaps", "usr/lib/kbd/keymaps")
_GETTY: Final = {
    "getty@tty1.service.d": "ExecStart=-/sbin/agetty --noreset --noclear - ${TERM}",
    "serial-getty@.service.d": "ExecStart=-/sbin/agetty --noreset --noclear --keep-baud "
    "115200,57600,38400,9600 - ${TERM}",
}


@dataclass(frozen=True, slots=True)
class User:
    """The first user. ``password_hash`` is as crypt(5) writes it."""

    name: str
    password_hash: str = field(repr=False)
    full_name: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is set; what is empty stays as the image has it."""

    hostname: str = ""
    locale: str = ""
    keymap: str = ""
    timezone: str = ""
    user: User | None = None


MakeUser = Callable[[Path, str, str], None]
"""Makes an account below a root, from lines of sysusers.d(5): (root, lines, hash of password)."""


def stage(folder: Path, settings: Settings, root: Path, make_user: MakeUser) -> None:
    """Fill ``folder`` with what the new data partition begins with; ``root`` is the image's."""
    for name in ("var", "home", "etc/upper", "etc/work"):
        (folder / name).mkdir(parents=True)
    etc = folder / "etc/upper"
    for name, text in (
        ("hostname", settings.hostname),
        ("locale.conf", settings.locale and f"LANG={settings.locale}"),
        ("vconsole.conf", settings.keymap and f"KEYMAP={settings.keymap}"),
    ):
        if text:
            (etc / name).write_text(f"{text}\n", encoding="utf-8")
    if settings.timezone:
        (etc / "localtime").symlink_to(f"../usr/share/zoneinfo/{settings.timezone}")
    if settings.user is not None:
        _first_user(folder, etc, settings.user, root, make_user)
    for path in etc.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def user_lines(user: User, uid: int) -> str:
    """The account in the words of sysusers.d(5)."""
    full_name = user.full_name or user.name
    groups = "".join(f"m {user.name} {group}\n" for group in GROUPS)
    return f'u {user.name} {uid} "{full_name}" /home/{user.name} {SHELL}\n{groups}'


def account_names(root: Path) -> frozenset[str]:
    """The accounts and groups that the image has already."""
    return frozenset(
        line.split(":", 1)[0]
        for name in ("passwd", "group")
        for line in _text(root / "etc" / name).splitlines()
    )


def hostname_fault(text: str) -> str:
    """Say what is wrong with a host name (hostname(5)); empty when nothing is."""
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    if len(text) <= 64 and re.fullmatch(rf"{label}(\.{label})*", text):
        return ""
    return f"'{text}' is no host name (small letters, digits and '-' in the middle, at most 64)"


def user_name_fault(text: str, taken: frozenset[str]) -> str:
    """Say what is wrong with an account's name; empty when nothing is."""
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", text):
        return f"'{text}' is no user name (small letters, digits, '-' and '_', at most 31)"
    return f"'{text}' is taken by the system itself" if text in taken else ""


def full_name_fault(text: str) -> str:
    """Say what is wrong with a person's name in an account; empty when nothing is."""
    wrong = set(text) & set(':"\\%') or any(not letter.isprintable() for letter in text)
    return f"'{text}' has letters that an account cannot hold (: \" \\ %)" if wrong else ""


def hash_fault(text: str) -> str:
    """Say what is wrong with a password's hash (crypt(5)); empty when nothing is."""
    if re.fullmatch(r"\$(y|gy|7|2[aby]|6|5)\$[!-9;-~]{20,}", text):
        return ""
    return "is no hash of a password (accepted: what mkpasswd prints, such as $y$... or $6$...)"


def locale_fault(text: str, root: Path) -> str:
    """Say why the image cannot speak a language; empty when it can."""
    known = {"C.UTF-8"}
    folder = root / "usr/lib/locale"
    if folder.is_dir():
        known |= {re.sub(r"\.utf-?8$", ".UTF-8", path.name) for path in folder.iterdir()}
    known = {name for name in known if name.endswith(".UTF-8")}
    return "" if text in known else f"'{text}' is not in the image ({_some(known)})"


def keymap_fault(text: str, root: Path) -> str:
    """Say why the image does not know a keyboard; empty when it does."""
    for place in _KEYMAPS:
        for path in (root / place).rglob("*.map*"):
            if path.name.split(".map")[0] == text:
                return ""
    return f"'{text}' is no keyboard layout of the image"


def timezone_fault(text: str, root: Path) -> str:
    """Say why the image does not know a time zone; empty when it does."""
    plain = re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", text)
    if plain and (root / "usr/share/zoneinfo" / text).is_file():
        return ""
    return f"'{text}' is no time zone of the image (such as Europe/Berlin, or UTC)"


def _first_user(folder: Path, etc: Path, user: User, root: Path, make_user: MakeUser) -> None:
    """Add the account to copies of the image's files, and switch off who logs in unasked."""
    workplace = folder.with_name(f"{folder.name}-accounts")
    (workplace / "etc").mkdir(parents=True)
    for name in ACCOUNTS:
        if (root / "etc" / name).exists():
            shutil.copy2(root / "etc" / name, workplace / "etc" / name)
    taken = {line.split(":")[2] for line in _text(workplace / "etc/passwd").splitlines()}
    uid = next(uid for uid in range(FIRST_UID, 60000) if str(uid) not in taken)
    make_user(workplace, user_lines(user, uid), user.password_hash)
    for name in ACCOUNTS:
        shutil.copyfile(workplace / "etc" / name, etc / name)
        if (root / "etc" / name).exists():
            # Owner and mode as in the image: who may read shadow is its own affair.
            shutil.copystat(root / "etc" / name, etc / name)
            was = (root / "etc" / name).stat()
            os.chown(etc / name, was.st_uid, was.st_gid)
    shutil.rmtree(workplace)
    for unit, line in _GETTY.items():
        place = etc / "systemd/system" / unit
        place.mkdir(parents=True)
        # After the image's own, which logs its account in without a question.
        text = f"[Service]\nExecStart=\n{line}\n"
        (place / "60-llmos-installed.conf").write_text(text, encoding="utf-8")


def _some(known: set[str]) -> str:
    return f"accepted: {', '.join(sorted(known))}"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
