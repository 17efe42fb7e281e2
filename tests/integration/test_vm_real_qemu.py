"""The VM driver with the real QEMU and firmware, and no operating system."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_image.tools import Sandbox
from llmos_image.vm.errors import MachineDied
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.kvm import Accelerator, runs_a_guest
from llmos_image.vm.machine import Machine
from llmos_image.vm.qmp import RunState
from llmos_image.vm_command import toolbox as make_toolbox

pytestmark = pytest.mark.integration

_CLI = "from llmos_image.cli import main; main()"
_SMALL = Hardware(memory="256M", cpus=1, network=Network.NONE)
_START = """
import sys
from pathlib import Path
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.machine import Machine
from llmos_image.vm_command import toolbox

small = Hardware(memory="256M", cpus=1, network=Network.NONE)
with Machine(None, toolbox=toolbox().sandbox, results=Path(sys.argv[1]), hardware=small) as vm:
    print(vm.process_id, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def toolbox() -> Sandbox:
    return make_toolbox().sandbox


@pytest.fixture(scope="module")
def vm(toolbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine without a disk, in the firmware's own shell."""
    results = tmp_path_factory.mktemp("results")
    with Machine(None, toolbox=toolbox, results=results, hardware=_SMALL) as machine:
        machine.serial.wait_for_text("Shell>", seconds=120)
        yield machine


def test_the_probes_guest_runs_where_a_guest_can_run(toolbox: Sandbox) -> None:
    assert runs_a_guest(toolbox, Accelerator.TCG)


def test_the_machine_runs(vm: Machine) -> None:
    assert vm.is_running
    assert vm.qmp.state() is RunState.RUNNING


def test_what_is_typed_on_the_serial_console_is_answered(vm: Machine) -> None:
    vm.serial.type_line("echo typed on the serial line")
    vm.serial.wait_for_text("typed on the serial line", seconds=60)
    said = vm.serial.log_text()
    assert "UEFI Interactive Shell" in said, repr(said)


def test_keys_reach_the_screen_and_a_screenshot_shows_it(vm: Machine) -> None:
    before = vm.frame()
    vm.type_on_screen("ver\n")
    vm.wait_for_screen_change(before, seconds=60)
    picture = vm.screenshot("firmware").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) > 1000


def test_a_machine_that_dies_is_noticed_at_once(toolbox: Sandbox, tmp_path: Path) -> None:
    with Machine(None, toolbox=toolbox, results=tmp_path, hardware=_SMALL) as machine:
        before = time.monotonic()
        os.kill(machine.process_id, signal.SIGKILL)
        with pytest.raises(MachineDied, match="ended with status -9"):
            machine.serial.wait_for_text("never", seconds=60)
        with pytest.raises(MachineDied):
            machine.qmp.state()
        assert time.monotonic() - before < 30


def test_a_machine_does_not_outlive_a_driver_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _START, tmp_path],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as driver:
        assert driver.stdout is not None
        pid = int(driver.stdout.readline())
        qemu = os.pidfd_open(pid)
        driver.kill()
    readable, _, _ = select.select([qemu], [], [], 30)
    os.close(qemu)
    assert readable, "QEMU still runs"


def test_ctrl_a_x_leaves_the_machine_on_the_terminal(tmp_path: Path) -> None:
    disk = tmp_path / "empty.raw"
    disk.write_bytes(bytes(1 << 20))
    command = [sys.executable, "-c", _CLI, "vm", str(disk), "--memory", "256M"]
    terminal, programs_end = pty.openpty()
    with subprocess.Popen(
        command, stdin=programs_end, stdout=programs_end, stderr=programs_end
    ) as program:
        os.close(programs_end)
        said = _read_until(terminal, b"Shell>", seconds=180)
        assert b"Ctrl-A, then x" in said
        os.write(terminal, b"\x01x")
        _read_until(terminal, None, seconds=60)
    os.close(terminal)
    assert program.returncode == 0
    assert disk.read_bytes() == bytes(1 << 20)


def _read_until(terminal: int, wanted: bytes | None, seconds: float) -> bytes:
    """What comes from ``terminal`` up to ``wanted``, or up to its end for none."""
    said, until = b"", time.monotonic() + seconds
    while wanted is None or wanted not in said:
        readable, _, _ = select.select([terminal], [], [], max(0.0, until - time.monotonic()))
        assert readable, f"no {wanted!r} in {said[-2000:]!r}"
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux says EIO when the last program on the terminal has ended
            data = b""
        if not data:
            assert wanted is None, f"ended before {wanted!r}: {said[-2000:]!r}"
            break
        said += data
    return said
