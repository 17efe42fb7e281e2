"""The two worlds fit: what units start, the wheel installs."""

import os
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
EVERY_UNIT = sorted(
    path for path in ROOT.glob("overlays/*/usr/lib/systemd/**/*.service") if not path.is_symlink()
)
INITRD = ROOT / "overlays/initrd"
# The initrd has neither our wheel nor presets.
INITRD_UNITS = [path for path in EVERY_UNIT if path.is_relative_to(INITRD)]
UNITS = [path for path in EVERY_UNIT if path not in INITRD_UNITS]
LINKS = sorted(path for path in ROOT.glob("overlays/*/usr/bin/*") if path.is_symlink())


@pytest.mark.parametrize("unit", UNITS, ids=lambda p: p.name)
def test_what_a_unit_starts_is_a_command_of_the_wheel(unit: Path) -> None:
    programs = re.findall(r"(?m)^Exec\w+=[-+!@:|]*(\S+)", unit.read_text())
    ours = [Path(program).name for program in programs if program.startswith("/usr/lib/llmos/")]
    assert set(ours) <= set(SCRIPTS)


@pytest.mark.parametrize("unit", INITRD_UNITS, ids=lambda p: p.name)
def test_a_unit_of_the_initrd_starts_its_own_program_and_is_asked_for(unit: Path) -> None:
    (program,) = re.findall(r"(?m)^ExecStart=(\S+)", unit.read_text())
    assert os.access(INITRD / program.lstrip("/"), os.X_OK)
    rules = "\n".join(path.read_text() for path in INITRD.glob("usr/lib/udev/rules.d/*"))
    assert f"{unit.stem}%k.service" in rules or [
        link for link in unit.parent.glob(f"*.*/{unit.name}") if link.is_symlink()
    ]


@pytest.mark.parametrize("link", LINKS, ids=lambda p: p.name)
def test_links_in_bin_lead_to_commands_of_the_wheel(link: Path) -> None:
    assert str(link.readlink()) == f"../lib/llmos/bin/{link.name}"
    assert link.name in SCRIPTS


def test_every_service_is_named_in_a_preset() -> None:
    presets = "\n".join(
        path.read_text() for path in ROOT.glob("overlays/*/usr/lib/systemd/system-preset/*")
    )
    named = {
        line.split()[1] for line in presets.splitlines() if line.startswith(("enable", "disable"))
    }
    assert {unit.name for unit in UNITS if "@" not in unit.name} <= named
