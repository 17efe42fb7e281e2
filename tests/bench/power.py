"""Power cuts at random moments: whether the machine comes up again, with all that was confirmed.

One cut hits a machine in use or in the middle of an update, the next one the boot after it, and
then the machine has to come up. The cut is the reset line of the virtual machine: its memory is
gone in that moment, and what it has not written to its disk. What the disk itself would lose in
its own cache is not shown.
"""

import random
import re
import time
from dataclasses import dataclass, field

import click

from llmos_image.vm.errors import UnitFailed
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.kvm import best_accelerator
from llmos_image.vm.machine import Machine
from llmos_image.vm_command import toolbox
from tests.bench.image import OUT
from tests.bench.result import Figure, Result
from tests.versions import GOOD, NEWER, disk_of, publish, running_version, web_server

_LONGEST_BOOT = 900.0
_RECORDS = "/home/llmos/records"
_PROMPT = re.compile(r"llmos ~ >")
_USE_SECONDS = 20.0
_UPDATE_SECONDS = 120.0
_UPDATE = "bench-update"


@dataclass
class _Tally:
    """What was seen so far."""

    in_use: int = 0
    in_update: int = 0
    in_boot: int = 0
    came_up: int = 0
    confirmed: int = 0
    lost: int = 0
    finished: int = 0
    """Updates that had said they were done."""
    forgotten: int = 0
    """Of those, the ones that did not run after the cut."""
    damaged: int = 0
    """Errors of the file system, as the kernel sees it."""

    @property
    def cuts(self) -> int:
        return self.in_use + self.in_update + self.in_boot


def measure(cuts: int, seed: int = 1) -> Result:
    """Cut the power of a machine ``cuts`` times, and look at it after each two."""
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    tools = toolbox()
    tally = _Tally()
    with web_server() as site:
        publish(NEWER)
        while tally.cuts < cuts:
            machine = Machine(
                disk_of(GOOD),
                toolbox=tools.sandbox,
                results=OUT / "bench" / "power",
                hardware=Hardware(network=Network.USER),
                seconds=cuts * _LONGEST_BOOT,
            )
            with machine as vm:
                _Life(vm, site, chance, tally).endure(cuts)
    figures = [
        Figure("power cuts", tally.cuts, ""),
        Figure("  in use", tally.in_use, ""),
        Figure("  during an update", tally.in_update, ""),
        Figure("  during a boot", tally.in_boot, ""),
        Figure("cuts after which it came up again", tally.came_up, ""),
        Figure("records confirmed", tally.confirmed, ""),
        Figure("records lost", tally.lost, ""),
        Figure("updates that had said they were done", tally.finished, ""),
        Figure("  and did not run afterwards", tally.forgotten, ""),
        Figure("errors of the file system", tally.damaged, ""),
    ]
    return Result("power", figures, {"accelerator": str(best_accelerator(tools.sandbox))})


@dataclass
class _Life:
    """One machine, until an update of it is done: then there is nothing to update to."""

    vm: Machine
    site: str
    chance: random.Random
    tally: _Tally
    confirmed: list[int] = field(default_factory=list)
    updated: bool = False

    def endure(self, cuts: int) -> None:
        """Cut its power until there were ``cuts``, or until it has the newer version."""
        begun = time.monotonic()
        self._wait_until_up(since=0)
        boot = time.monotonic() - begun
        while self.tally.cuts < cuts and not self.updated:
            before = self.tally.cuts
            if self.chance.random() < 0.5:
                self.updated = self._update(self.chance.uniform(0, _UPDATE_SECONDS))
                self.tally.in_update += 1
            else:
                self._write_records(self.chance.uniform(0, _USE_SECONDS))
                self.tally.in_use += 1
            mark = self._cut()
            if self.tally.cuts < cuts:
                time.sleep(self.chance.uniform(0, boot))
                self.tally.in_boot += 1
                mark = self._cut()
            self._wait_until_up(since=mark)
            self.tally.came_up += self.tally.cuts - before
            self._look()
            click.echo(f"{self.tally.cuts} of {cuts} cuts, {self.tally.lost} lost", err=True)

    def _cut(self) -> int:
        """Cut the power; return where the serial log goes on."""
        self.vm.qmp.execute("system_reset")
        self.vm.guest.power_was_cut()
        return self.vm.serial.position

    def _wait_until_up(self, since: int) -> None:
        self.vm.serial.wait_for_log(_PROMPT, since=since, seconds=_LONGEST_BOOT)
        self.vm.guest.wait_until_ready(_LONGEST_BOOT)

    def _write_records(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._write_record()

    def _write_record(self) -> None:
        record = self.tally.confirmed
        self.vm.guest.succeed(f"echo {record} >> {_RECORDS}; sync {_RECORDS}")
        self.confirmed.append(record)
        self.tally.confirmed += 1

    def _update(self, seconds: float) -> bool:
        """Write records beside an update; whether it is done before ``seconds`` are over."""
        # Nothing waits for the network, so neither did the prompt.
        self.vm.guest.wait_until_succeeds("ip -4 route show default | grep .", seconds=300)
        end = time.monotonic() + seconds
        command = f"llmosctl update apply --source {self.site}"
        self.vm.guest.succeed(f"systemd-run --unit={_UPDATE} -p RemainAfterExit=yes {command}")
        while time.monotonic() < end:
            self._write_record()
            state = self.vm.guest.succeed(f"systemctl show -P SubState {_UPDATE}").strip()
            if state == "exited":
                self.tally.finished += 1
                return True
            if state == "failed":
                raise UnitFailed(
                    "an update failed that nobody disturbed",
                    hint=self.vm.guest.unit_report(f"{_UPDATE}.service"),
                )
        return False

    def _look(self) -> None:
        """Count what is missing."""
        kept = {int(line) for line in self.vm.guest.succeed(f"cat {_RECORDS}; true").split()}
        self.tally.lost += len(set(self.confirmed) - kept)
        self.confirmed = [record for record in self.confirmed if record in kept]
        if self.updated:
            self.tally.forgotten += running_version(self.vm) != NEWER
        errors = "journalctl -b -k --no-pager -q | grep -c 'EXT4-fs error'"
        self.tally.damaged += int(self.vm.guest.execute(errors).output or 0)
