"""The machine that ``llmosctl update`` works on: one thing to inject in tests."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from llmos_ctl.errors import UsageError
from llmos_ctl.run import Run, run_program
from llmos_ctl.update.definitions import Definitions
from llmos_ctl.update.failures import reasons
from llmos_ctl.update.loader import EFI_VARIABLES, Loader
from llmos_ctl.update.running import Running
from llmos_ctl.update.slots import slots
from llmos_ctl.update.standing import Menu, State, state_of
from llmos_ctl.update.sysupdate import Sysupdate


@dataclass(frozen=True)
class World:
    """Where files are, how programs run, and whether a person may change anything."""

    run: Run = run_program
    root: Path = Path("/")
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)
    efi_variables: Path = EFI_VARIABLES
    scratch: Path | None = None

    @property
    def loader(self) -> Loader:
        """The boot loader."""
        return Loader(self.run, self.efi_variables)

    @property
    def definitions(self) -> Definitions:
        """What is updated, and from where."""
        return Definitions(self.root)

    def sysupdate(self, source: str | None) -> Sysupdate:
        """The updater; ``source`` takes the place of the machine's own."""
        return Sysupdate(self.run, self.definitions, source=source, scratch=self.scratch)

    def state(self) -> State:
        """How the installed versions stand; without root, only what everybody may see."""
        running = Running.of(self.root)
        found = slots(self.run, running)
        menu = self._menu(running) if self.is_root else None
        return state_of(running, found, menu, on_trial=self.loader.is_on_trial)

    def _menu(self, running: Running) -> Menu:
        entries = self.loader.entries(running.image_id)
        return Menu(entries, self.loader.left_behind(entries), reasons(self.root))

    def require_root(self, command: str) -> None:
        """Raise UsageError, with the command that would do it, when this is not root."""
        if not self.is_root:
            raise UsageError(
                f"{command}: changes the system, and needs root", hint=f"sudo llmosctl {command}"
            )
