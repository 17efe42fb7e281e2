"""The root shell's protocol, against the real bash that would run it in a guest."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmos_image.vm import guest as guest_module
from llmos_image.vm.deadline import Deadline
from llmos_image.vm.errors import CommandFailed, DeadlinePassed, MachineDied, UnitFailed
from llmos_image.vm.guest import GuestShell

Ends = tuple[socket.socket, socket.socket]
WithSystemctl = Callable[[str], None]


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture
def shell(connection: Ends, bin_folder: Path) -> Iterator[GuestShell]:
    ours, theirs = connection
    # What the firmware may have left in the port, and what the unit says first.
    theirs.sendall(b"\x1b[2J\x1b[01;01H\nllmos-test-shell\n")
    environment = {"PATH": f"{bin_folder}:/usr/bin:/bin", "TMPDIR": str(bin_folder.parent)}
    with subprocess.Popen(
        ["/bin/bash", "--norc"], stdin=theirs.fileno(), stdout=theirs.fileno(), env=environment
    ) as process:
        theirs.close()
        yield GuestShell(ours, Deadline.after(60))
        ours.close()
        process.kill()


@pytest.fixture
def with_systemctl(bin_folder: Path) -> WithSystemctl:
    """Make ``systemctl`` and ``journalctl`` in the guest print what the test says."""

    def make(script: str) -> None:
        for name in ("systemctl", "journalctl"):
            (bin_folder / name).write_text(f"#!/bin/bash\n{script}\n")
            (bin_folder / name).chmod(0o755)

    return make


def test_a_command_gives_its_output(shell: GuestShell) -> None:
    assert shell.succeed("echo one; echo two") == "one\ntwo\n"


def test_quotes_newlines_and_letters_of_the_world_arrive_whole(shell: GuestShell) -> None:
    assert shell.succeed("printf '%s|' \"it's\" 'a\nb' '✓ Ø'") == "it's|a\nb|✓ Ø|"


def test_output_may_be_empty_or_large(shell: GuestShell) -> None:
    assert shell.succeed("true") == ""
    assert len(shell.succeed("head -c 1000000 /dev/zero | tr '\\0' x")) == 1_000_000


def test_a_failing_command_says_what_it_said(shell: GuestShell) -> None:
    with pytest.raises(CommandFailed) as caught:
        shell.succeed("echo why >&2; exit 3")
    assert "ended with status 3" in str(caught.value)
    assert "why" in str(caught.value)


def test_a_command_that_should_fail_must(shell: GuestShell) -> None:
    assert shell.fail("echo why >&2; false") == "why\n"
    with pytest.raises(CommandFailed, match="should have failed"):
        shell.fail("true")


def test_a_command_that_reads_its_input_does_not_eat_the_next_request(shell: GuestShell) -> None:
    assert shell.succeed("cat") == ""
    assert shell.succeed("echo still here") == "still here\n"


def test_a_command_that_takes_too_long_is_ended_and_the_shell_lives_on(shell: GuestShell) -> None:
    with pytest.raises(DeadlinePassed, match="took longer than 1 s"):
        shell.execute("sleep 1000", seconds=1)
    assert shell.succeed("echo still here") == "still here\n"


def test_a_command_is_repeated_until_it_succeeds(shell: GuestShell, tmp_path: Path) -> None:
    counter = tmp_path / "count"
    script = f"echo x >> {counter}; [ $(wc -l < {counter}) -ge 2 ] && echo done"
    assert shell.wait_until_succeeds(script) == "done\n"


def test_an_active_unit_is_not_waited_for(shell: GuestShell, with_systemctl: WithSystemctl) -> None:
    with_systemctl("echo LoadState=loaded; echo ActiveState=active")
    shell.wait_for_unit("llmos-engine.service")


def test_a_failed_unit_ends_the_wait_at_once_with_its_journal(
    shell: GuestShell, with_systemctl: WithSystemctl
) -> None:
    with_systemctl("echo LoadState=loaded; echo ActiveState=failed")
    with pytest.raises(UnitFailed) as caught:
        shell.wait_for_unit("llmos-engine.service", seconds=60)
    assert "llmos-engine.service is failed" in str(caught.value)
    assert "ActiveState=failed" in str(caught.value)


def test_a_unit_that_does_not_exist_is_not_waited_for(
    shell: GuestShell, with_systemctl: WithSystemctl
) -> None:
    with_systemctl("echo LoadState=not-found; echo ActiveState=inactive")
    with pytest.raises(UnitFailed, match="is not-found"):
        shell.wait_for_unit("typo.service", seconds=60)


def test_a_unit_that_stays_inactive_says_so(
    shell: GuestShell, with_systemctl: WithSystemctl
) -> None:
    with_systemctl("echo LoadState=loaded; echo ActiveState=activating")
    with pytest.raises(DeadlinePassed, match="still activating"):
        shell.wait_for_unit("slow.service", seconds=0.1)


def test_a_guest_that_goes_away_is_noticed_at_once(connection: Ends) -> None:
    ours, theirs = connection
    theirs.close()
    with pytest.raises(MachineDied, match="test shell"):
        GuestShell(ours, Deadline.after(60)).execute("true")


def test_what_a_guest_said_before_its_power_was_cut_counts_no_longer(connection: Ends) -> None:
    ours, theirs = connection
    guest = GuestShell(ours, Deadline.after(60))
    theirs.sendall(b"\nllmos-test-shell\nhalf a li")
    guest.power_was_cut()
    with pytest.raises(DeadlinePassed):
        guest.wait_until_ready(0.05)
    theirs.sendall(b"\nllmos-test-shell\n")
    guest.wait_until_ready(5)


def test_the_shell_comes_by_credentials_alone() -> None:
    unit, drop_in, rescue = guest_module.credentials()
    assert unit.name == "systemd.extra-unit.llmos-test.service"
    assert b"until [[ -e /dev/virtio-ports/llmos.test ]]" in unit.value
    assert drop_in.name == "systemd.unit-dropin.multi-user.target"
    assert rescue.name == "systemd.unit-dropin.rescue.target"
    assert drop_in.value == rescue.value == b"[Unit]\nWants=llmos-test.service\n"
