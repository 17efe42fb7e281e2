"""The settings of the shell: one small TOML file, and defaults that need none."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from llmos_shell.errors import SettingsError

SYSTEM_FILE: Final = Path("/etc/llmos/shell.toml")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person may choose."""

    auto_run_read_only: bool = False
    """Run a plan that only reads without asking."""


def settings_files(env: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where settings are read from; later ones win."""
    config = env.get("XDG_CONFIG_HOME") or str(Path(env.get("HOME") or "/", ".config"))
    return (SYSTEM_FILE, Path(config, "llmos", "shell.toml"))


def load(files: tuple[Path, ...]) -> Settings:
    """Read the settings; a file that is not there is no error, one that is wrong is."""
    values: dict[str, bool] = {}
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        try:
            found = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{path}: {error}") from error
        values |= _checked(found, path)
    return Settings(**values)


def _checked(found: Mapping[str, object], path: Path) -> dict[str, bool]:
    known = {field.name for field in fields(Settings)}
    checked: dict[str, bool] = {}
    for key, value in found.items():
        if key not in known:
            raise SettingsError(f"{path}: unknown {key!r} (one of: {', '.join(sorted(known))})")
        if not isinstance(value, bool):
            raise SettingsError(f"{path}: {key} is {value!r}, and should be true or false")
        checked[key] = value
    return checked
