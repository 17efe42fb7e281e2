"""The transfer definitions (sysupdate.d(5)): what is updated, and from where."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from llmos_ctl.errors import CtlError

SYSTEM: Final = "system"
"""The name under which a person knows what has no name of its own: root and kernel."""

_PLACES: Final = ("usr/lib", "usr/local/lib", "run", "etc")
_LAST: Final = "zz-llmosctl.conf"


class Definitions:
    """The definitions of a machine; a place further down wins, file by file."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def components(self) -> tuple[str, ...]:
        """What can be updated: the system first, then models and extensions by name."""
        found = {
            folder.name.removeprefix("sysupdate.").removesuffix(".d")
            for place in _PLACES
            for folder in self._root.glob(f"{place}/sysupdate.*.d")
        }
        system = [SYSTEM] if any(self._folders(SYSTEM)) else []
        return (*system, *sorted(found))

    def write(
        self, component: str, folder: Path, *, source: str | None = None, only_look: bool = False
    ) -> None:
        """Put the definitions of ``component`` into ``folder``, all places in one.

        With ``source`` they take everything from there. With ``only_look`` their target is a
        folder that does not exist: what is published can then be asked without being root.

        Raises:
            CtlError: there are none.
        """
        for place in self._folders(component):
            shutil.copytree(
                place, folder, dirs_exist_ok=True, ignore=_masked, ignore_dangling_symlinks=True
            )
        transfers = sorted(folder.glob("*.transfer"))
        if not transfers:
            raise CtlError(f"{component}: nothing on this machine says how it is updated")
        lines = [f"[Source]\nPath={source.replace('%', '%%')}\n"] if source else []
        if only_look:
            nowhere = f"{folder}/nowhere"
            lines.append(f"[Target]\nType=regular-file\nPath={nowhere}\nPathRelativeTo=root\n")
        for transfer in transfers if lines else ():
            drop_in = folder / f"{transfer.name}.d" / _LAST
            drop_in.parent.mkdir(exist_ok=True)
            drop_in.write_text("".join(lines))

    def _folders(self, component: str) -> Iterator[Path]:
        name = "sysupdate.d" if component == SYSTEM else f"sysupdate.{component}.d"
        return (path for place in _PLACES if (path := self._root / place / name).is_dir())


def source_of(folder: Path) -> str:
    """Where the definitions in ``folder`` take their files from, for people to read."""
    for transfer in sorted(folder.glob("*.transfer")):
        texts = (transfer, *sorted((folder / f"{transfer.name}.d").glob("*.conf")))
        if found := [path for text in texts for path in _source_paths(text.read_text())]:
            return found[-1].replace("%%", "%")
    return "nowhere"


def _source_paths(text: str) -> Iterator[str]:
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip()
        name, equals, value = line.partition("=")
        if section == "[Source]" and equals and name.strip() == "Path":
            yield value.strip()


def _masked(folder: str, names: list[str]) -> set[str]:
    """A link to /dev/null takes a definition away, and must not be read as an empty one."""
    return {name for name in names if Path(folder, name).resolve() == Path("/dev/null")}
