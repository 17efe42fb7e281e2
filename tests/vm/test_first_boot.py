"""The built image, booted once and used as a person would; its files are not changed.

The tests of the class run in order on one machine: a boot takes a minute or more when the
processor is emulated.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_image.tools import Sandbox
from llmos_image.vm.hardware import Hardware, Network
from llmos_image.vm.machine import Machine
from llmos_image.vm.serial import Key

from .conftest import booted

pytestmark = pytest.mark.vm

PROMPT = re.compile(r"llmos ~ >")
REQUEST = "how much free disk space is there"
COMMAND = "$ df -h"
# The data partition's line: device, size, used, available, percent, mount point.
DATA_LINE = re.compile(r"(/dev/\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\d+)%\s+/var\s*$")

_HEALTH = """
import http.client, socket
class Local(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/llmos/engine.sock")
link = Local("localhost")
link.request("GET", "/health")
answer = link.getresponse()
print(answer.status, answer.read().decode())
raise SystemExit(answer.status != 200)
"""


def health() -> str:
    """A command for the guest that succeeds when the engine is healthy."""
    return f"python3 - <<'END'\n{_HEALTH}END"


@pytest.fixture(scope="class")
def vm(vm_image: Path, toolbox: Sandbox, results: Path) -> Iterator[Machine]:
    """The image, booting, on a network that ends at its gateway."""
    hardware = Hardware(network=Network.ISOLATED)
    machine = Machine(vm_image, toolbox=toolbox, results=results, hardware=hardware)
    with booted(machine, PROMPT) as running:
        yield running


class TestFirstBoot:
    """One machine, from power on to power off."""

    # The system

    def test_it_boots_to_the_prompt_on_the_serial_console(self, vm: Machine) -> None:
        assert any(PROMPT.search(row) for row in vm.serial.rows)

    def test_it_boots_by_uefi(self, vm: Machine) -> None:
        vm.guest.succeed("test -d /sys/firmware/efi")

    def test_the_root_is_verified_and_cannot_be_written(self, vm: Machine) -> None:
        assert vm.guest.succeed("findmnt -no SOURCE,FSTYPE /").split() == [
            "/dev/mapper/root",
            "erofs",
        ]
        assert vm.guest.succeed("cat /sys/block/dm-0/dm/uuid").startswith("CRYPT-VERITY-")
        words = vm.guest.succeed("cat /proc/cmdline").split()
        (said,) = (word for word in words if word.startswith("roothash="))
        root_hash = said.removeprefix("roothash=")
        partitions = vm.guest.succeed("lsblk -nro PARTUUID /dev/vda").replace("-", "").split()
        assert {root_hash[:32], root_hash[32:]} <= set(partitions)
        vm.guest.fail("touch /usr/bin/anything")

    def test_what_persists_is_on_the_data_partition(self, vm: Machine) -> None:
        for place in ("/var", "/home"):
            assert "ext4" in vm.guest.succeed(f"findmnt -no FSTYPE {place}")
        vm.guest.fail("ls /run/llmos/notices/*")

    def test_the_list_of_packages_is_the_images_own(self, vm: Machine) -> None:
        vm.guest.succeed("dpkg -s systemd | grep -q '^Status: install ok installed'")

    def test_it_comes_up_with_no_failed_unit(self, vm: Machine) -> None:
        state = vm.guest.execute("systemctl is-system-running --wait", seconds=300)
        failed = vm.guest.succeed("systemctl list-units --failed --no-legend --plain")
        assert (state.output.strip(), failed) == ("running", "")

    def test_the_engine_is_healthy(self, vm: Machine) -> None:
        vm.guest.wait_for_unit("llmos-engine.service", seconds=300)
        answer = vm.guest.wait_until_succeeds(health(), seconds=300)
        assert answer.startswith("200 ")

    def test_what_it_computes_with_is_chosen_and_explained(self, vm: Machine) -> None:
        said = vm.guest.succeed("llmosctl hardware", seconds=60)
        assert "The model computes with the CPU" in said
        vm.guest.fail("test -e /run/systemd/system/llmos-engine.service.d")

    def test_our_units_report_no_error(self, vm: Machine) -> None:
        units = "-u llmos-engine.service -u llmos-engine.socket -u 'getty@*' -u 'serial-getty@*'"
        assert vm.guest.succeed(f"journalctl -b -q -p err --no-pager {units}") == ""

    def test_the_journal_is_kept_on_the_disk(self, vm: Machine) -> None:
        vm.guest.succeed('test -s "/var/log/journal/$(cat /etc/machine-id)/system.journal"')

    def test_the_network_is_up_by_dhcp(self, vm: Machine) -> None:
        vm.guest.wait_until_succeeds(
            "ip -4 -o address show scope global dynamic | grep -q 'inet 10.0.2.'"
        )

    def test_the_shell_is_a_login_shell(self, vm: Machine) -> None:
        vm.guest.succeed("grep -qx /usr/bin/llmos-shell /etc/shells")
        assert vm.guest.succeed("runuser -l llmos -c 'echo $0 from $PWD'").endswith(
            "from /home/llmos\n"
        )
        assert vm.guest.succeed("runuser -u llmos -- llmos-shell -c 'echo hi'") == "hi\n"

    # A person on the serial console

    def test_the_console_is_quiet(self, vm: Machine) -> None:
        assert not re.search(r"^\[ *\d+\.\d+\]", vm.serial.text, re.MULTILINE)

    def test_a_request_shows_the_command_before_anything_runs(self, vm: Machine) -> None:
        vm.serial.wait_for_text("model: ready", seconds=120)
        vm.serial.type_line(REQUEST)
        vm.serial.wait_for_text(COMMAND, seconds=300)
        vm.serial.wait_for_text("reads only", seconds=60)
        vm.serial.wait_for_text("Enter: run", seconds=60)
        assert "Mounted on" not in vm.serial.text

    def test_enter_runs_it_and_shows_its_true_output(self, vm: Machine) -> None:
        vm.serial.press(Key.ENTER)
        vm.serial.wait_for_text(re.compile(r"exit 0\b"), seconds=120)
        seen = _data_line(vm.serial.rows)
        true = _data_line(vm.guest.succeed("df -h").splitlines())
        assert (seen[1], seen[2]) == (true[1], true[2])
        # Logs are written all the time.
        assert abs(int(seen[5]) - int(true[5])) <= 1

    def test_an_exclamation_mark_runs_a_line_as_it_is(self, vm: Machine) -> None:
        vm.serial.press(Key.CTRL_L)
        vm.serial.wait_for_no_text("exit 0", seconds=60)
        vm.serial.type_line("!echo hello from $((40 + 2))")
        vm.serial.wait_for_text("hello from 42", seconds=120)
        vm.serial.wait_for_text(re.compile(r"exit 0\b"), seconds=60)

    def test_ctrl_c_stops_the_command_and_not_the_shell(self, vm: Machine) -> None:
        vm.serial.type_line("!sleep 1000")
        vm.guest.wait_until_succeeds("pgrep -x sleep", seconds=60)
        vm.serial.press(Key.CTRL_C)
        vm.serial.wait_for_text(re.compile(r"exit 130\b"), seconds=60)
        vm.guest.fail("pgrep -x sleep")
        vm.serial.wait_for_text(PROMPT, seconds=60)

    # A person at the screen

    def test_the_same_works_on_the_screen(self, vm: Machine) -> None:
        vm.wait_for_screen_text(PROMPT, seconds=300)
        vm.wait_for_screen_text("model: ready", seconds=120)
        vm.type_on_screen(REQUEST)
        vm.wait_for_screen_text(REQUEST, seconds=60)
        vm.press_on_screen("ret")
        vm.wait_for_screen_text(COMMAND, seconds=300)
        vm.press_on_screen("ret")
        vm.wait_for_screen_text(re.compile(r"exit 0\b"), seconds=120)
        picture = vm.screenshot("tty1")
        rows = vm.screen_rows()
        assert any("Filesystem" in row for row in rows)
        true = _data_line(vm.guest.succeed("df -h").splitlines())
        assert (_data_line(rows)[1], _data_line(rows)[2]) == (true[1], true[2])
        assert picture.stat().st_size > 0

    # When things break

    def test_without_the_engine_it_says_so_and_commands_go_on(self, vm: Machine) -> None:
        vm.guest.succeed("systemctl stop llmos-engine.socket llmos-engine.service")
        vm.serial.press(Key.CTRL_L)
        vm.serial.wait_for_text("model: not reachable", seconds=120)
        vm.serial.type_line(REQUEST)
        vm.serial.wait_for_text("Commands still work", seconds=120)
        vm.serial.type_line("!echo still a shell")
        vm.serial.wait_for_text(re.compile(r"^.*still a shell$"), seconds=120)
        vm.guest.succeed("systemctl start llmos-engine.socket llmos-engine.service")
        vm.guest.wait_until_succeeds(health(), seconds=300)

    def test_a_killed_session_lands_in_bash_with_the_reason(self, vm: Machine) -> None:
        vm.guest.succeed(
            "kill -9 $(for p in $(pgrep -t ttyS0 -x llmos-shell); do pgrep -P $p -x llmos-shell;"
            " done)"
        )
        vm.serial.wait_for_text("killed by SIGKILL", seconds=120)
        vm.serial.wait_for_text(re.compile(r"\$ *$"), seconds=60)
        vm.serial.type_line("echo this is $BASH_VERSINFO")
        vm.serial.wait_for_text(re.compile(r"this is \d"), seconds=60)

    def test_logging_out_brings_the_prompt_back(self, vm: Machine) -> None:
        vm.serial.type_line("clear")
        vm.serial.wait_for_no_text(PROMPT, seconds=60)
        vm.serial.type_line("exit")
        vm.serial.wait_for_text(PROMPT, seconds=300)

    def test_it_powers_off_by_a_persons_command(self, vm: Machine) -> None:
        vm.serial.type_line("!sudo systemctl poweroff")
        vm.wait_for_shutdown(seconds=180)


def _data_line(rows: tuple[str, ...] | list[str]) -> re.Match[str]:
    """The last line of ``df`` about the data partition."""
    found = [match for row in rows if (match := DATA_LINE.search(row))]
    assert found, "no line about /var in:\n" + "\n".join(rows)
    return found[-1]
