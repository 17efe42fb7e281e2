"""Where an answer file may lie."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from llmos_installer.answers import CREDENTIAL, FILE
from llmos_installer.errors import BadAnswers, InstallerError
from llmos_installer.programs import Programs
from llmos_installer.running import Running
from llmos_installer.world import World, read


def find_answers(
    world: World, programs: Programs, source: Running, env: Mapping[str, str]
) -> tuple[str, str] | None:
    """The text of the answer file and what it is called; None when there is none.

    A credential (from the firmware, the hypervisor or the kernel's command line) comes before a
    file on the stick.

    Raises:
        BadAnswers: there is one, and it cannot be read.
    """
    if folder := env.get("CREDENTIALS_DIRECTORY"):
        path = Path(folder) / CREDENTIAL
        if path.is_file():
            return _text(path, f"the credential {CREDENTIAL}"), f"the credential {CREDENTIAL}"
    with mounted_esp(world, programs, source.esp) as esp:
        if (esp / FILE).is_file():
            return _text(esp / FILE, f"{FILE} on the stick"), f"{FILE} on the stick"
    return None


@contextlib.contextmanager
def mounted_esp(world: World, programs: Programs, device: Path) -> Iterator[Path]:
    """The stick's ESP, read-only; where it is mounted already, as it is."""
    number = read(world.sys / "class/block" / device.name / "dev")
    points = [point for mounted, point in world.mounts() if mounted == number]
    if points:
        yield Path(points[0])
        return
    with tempfile.TemporaryDirectory(prefix="llmos-esp-", dir=world.run) as name:
        programs(["mount", "-t", "vfat", "-o", "ro,umask=077", device, name])
        try:
            yield Path(name)
        finally:
            with contextlib.suppress(InstallerError):
                programs(["umount", name])


def _text(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadAnswers(name, [str(error)]) from None
