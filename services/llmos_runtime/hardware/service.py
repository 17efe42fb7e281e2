"""What ``llmos-hardware.service`` does: look, choose, and tell the engine and the person."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from llmos_api.hardware import Hardware, Stack, read_hardware
from llmos_api.notices import remove_notice, write_notice
from llmos_runtime.hardware.available import Available, available
from llmos_runtime.hardware.choice import Choice, choose
from llmos_runtime.hardware.failures import add_failure, read_failures
from llmos_runtime.hardware.names import Names
from llmos_runtime.hardware.pci import PciCard, cards_of
from llmos_runtime.hardware.processor import memory_of, processor_of
from llmos_runtime.hardware.report import report
from llmos_runtime.hardware.steering import drop_in, environment_file
from llmos_runtime.hardware.table import Table, default_table
from llmos_runtime.hardware.wish import wanted_stack

PATIENCE: Final = 8.0
"""Seconds in which a driver that the image has must have taken its card."""

LOOK_AGAIN: Final = 0.1
NOTICE: Final = "hardware"


@dataclass
class HardwareService:
    """The service over one machine: ``root`` is its file system, ``reload`` tells systemd."""

    root: Path
    release: str
    reload: Callable[[], None]
    table: Table = field(default_factory=default_table)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def choose(self) -> Hardware:
        """Look at the machine, wait for its drivers, and make the choice known."""
        self._wait_for_drivers()
        choice, said = self._looked(wanted_stack(self.root))
        self._publish(choice, said)
        return said

    def look(self) -> Hardware:
        """Only say what the choice would be, as things are now."""
        return self._looked(wanted_stack(self.root))[1]

    def engine_ended(self, result: str) -> Hardware | None:
        """Step down when the engine died in a stack; ``result`` is systemd's $SERVICE_RESULT.

        Returns the new state, None when nothing has changed.
        """
        now = read_hardware(self._run / "hardware.json")
        stack = now.stack if now else Stack.CPU
        if not add_failure(self._run / "hardware/failures.json", stack, result):
            return None
        # What the person wanted came with a credential, and the engine's unit has none.
        choice, said = self._looked(now.wanted if now else None)
        self._publish(choice, said)
        return said

    @property
    def _run(self) -> Path:
        return self.root / "run/llmos"

    def _looked(self, wanted: Stack | None) -> tuple[Choice, Hardware]:
        cards = cards_of(self.root)
        choice = choose(
            cards,
            available(self.root, self.release),
            self.table,
            failures=read_failures(self._run / "hardware/failures.json"),
            wanted=wanted,
        )
        said = report(
            choice,
            cards,
            self.table,
            names=Names(self.root),
            processor=processor_of(self.root),
            memory=memory_of(self.root),
        )
        return choice, said

    def _wait_for_drivers(self) -> None:
        """Return when the drivers that may still come have come, or have had their time."""
        found = available(self.root, self.release)
        deadline = self.clock() + PATIENCE
        while any(self._may_come(card, found) for card in cards_of(self.root)):
            if self.clock() >= deadline:
                return
            self.sleep(LOOK_AGAIN)

    def _may_come(self, card: PciCard, found: Available) -> bool:
        stacks = self.table.family_of(card).stacks
        wanted = {d for stack in found.plugins for d in stacks.get(stack, ()) if d in found.modules}
        if card.driver is None:
            return bool(wanted)
        return card.driver in wanted and card.driver != "nvidia" and card.render_node is None

    def _publish(self, choice: Choice, said: Hardware) -> None:
        self._run.mkdir(parents=True, exist_ok=True)
        _replace(self._run / "engine.env", environment_file(choice).encode())
        self._open_sandbox(choice)
        # Last: who reads it may rely on the rest.
        _replace(self._run / "hardware.json", msgspec.json.encode(said))
        if said.notice:
            write_notice(NOTICE, said.notice, self._run / "notices")
        else:
            remove_notice(NOTICE, self._run / "notices")

    def _open_sandbox(self, choice: Choice) -> None:
        path = self.root / "run/systemd/system/llmos-engine.service.d/60-llmos-hardware.conf"
        text = drop_in(choice, self._group_of)
        old = path.read_text() if path.exists() else None
        if text == old:
            return  # a reload costs a slow machine a second
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, text.encode())
        self.reload()

    def _group_of(self, node: str) -> int | None:
        with suppress(OSError):
            return (self.root / node.lstrip("/")).stat().st_gid
        return None


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}")
    partial.write_bytes(content)
    partial.chmod(0o644)
    partial.replace(path)
