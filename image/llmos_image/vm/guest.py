"""A root shell in a guest whose image was not changed for it.

Two credentials make a unit that runs bash on a virtio port. It says hello; nothing is sent
before that, as OVMF has a driver for the port and would eat it. Then bash is given a function
that reads requests and answers them, a line each:

    request   NUMBER SECONDS BASE64(command)
    answer    NUMBER STATUS BASE64(standard output)|BASE64(standard error)|

The bars keep an empty output visible as a field.
"""

import base64
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from llmos_image.vm.credentials import Credential
from llmos_image.vm.deadline import Deadline
from llmos_image.vm.errors import (
    CommandFailed,
    DeadlinePassed,
    MachineDied,
    MachineError,
    UnitFailed,
)
from llmos_image.vm.lines import Death, LineSocket

PORT = "llmos.test"
UNIT = "llmos-test.service"
_DEVICE = f"/dev/virtio-ports/{PORT}"
_HELLO = "llmos-test-shell"
_SECONDS = 120.0
_BOOT_SECONDS = 900.0
_POLL_SECONDS = 1.0
# What `timeout` exits with after it had to end the command.
_TIMED_OUT = 124
# Time for an answer to travel after the guest itself has ended the command.
_GRACE_SECONDS = 30.0

_UNIT_TEXT = f"""\
[Unit]
Description=Root shell for a test

[Service]
# Not bound to the device: systemd waits 90 seconds for one, and never again. On a busy machine
# an emulated guest takes longer to find it.
ExecStartPre=/bin/bash -c 'until [[ -e {_DEVICE} ]]; do sleep 0.2; done'
TimeoutStartSec=infinity
# One open for both directions: the kernel refuses a second one. The first line ends whatever
# the firmware has left in the port.
ExecStart=/bin/bash -c 'exec <>{_DEVICE} >&0; echo; echo {_HELLO}; exec /bin/bash --norc'
Environment=HOME=/root USER=root LOGNAME=root SYSTEMD_COLORS=0 SYSTEMD_PAGER=
WorkingDirectory=/
KillMode=control-group
SendSIGHUP=yes
TimeoutStopSec=5
"""

_AGENT = r"""
agent() { local n s c d r; d=$(mktemp -d);
while read -r n s c; do
timeout --kill-after=5 "$s" bash -c "$(base64 -d <<<"$c")" </dev/null >"$d/out" 2>"$d/err"; r=$?;
echo "$n $r $(base64 -w0 <"$d/out")|$(base64 -w0 <"$d/err")|"; done; }; agent
""".replace("\n", " ")


def credentials() -> Sequence[Credential]:
    """What makes the guest run the shell."""
    return (
        Credential.unit(UNIT, _UNIT_TEXT),
        Credential.wanted_by("multi-user.target", UNIT),
        Credential.wanted_by("rescue.target", UNIT),
    )


@dataclass(frozen=True, slots=True)
class Result:
    """What a command in the guest did."""

    command: str
    status: int
    output: str
    errors: str

    def __str__(self) -> str:
        said = "\n".join(part for part in (self.output.rstrip(), self.errors.rstrip()) if part)
        return f"`{self.command}` in the guest ended with status {self.status}" + (
            f":\n{said}" if said else ""
        )


class GuestShell:
    """Runs commands as root in the guest, one at a time."""

    def __init__(
        self, connection: socket.socket, deadline: Deadline, death: Death = MachineDied
    ) -> None:
        self._lines = LineSocket(connection, peer="the guest's test shell", death=death)
        self._deadline = deadline
        self._ready = False
        self._number = 0

    def wait_until_ready(self, seconds: float = _BOOT_SECONDS) -> None:
        """Wait until the guest is up far enough to run commands."""
        if self._ready:
            return
        deadline = self._deadline.within(seconds)
        while self._lines.receive(deadline, "its greeting") != _HELLO.encode():
            pass
        self._lines.send(_AGENT.encode() + b"\n", deadline, "its program")
        self._ready = True

    def reboot(self, seconds: float = _BOOT_SECONDS) -> None:
        """Reboot the guest, and wait until it runs commands again."""
        self.begin_reboot()
        self.wait_until_ready(seconds)

    def forget(self) -> None:
        """Take the guest for one that starts anew, by itself."""
        self._ready = False

    def power_was_cut(self) -> None:
        """Take the guest for one that starts anew; what it said before counts no longer."""
        self._lines.discard()
        self._ready = False

    def begin_reboot(self) -> None:
        """Reboot the guest; whoever asks for the next command waits for it."""
        self.wait_until_ready()
        # Not waited for: the shell may be gone before it can answer. The next one greets anew.
        self._ask("systemctl --no-block reboot", _SECONDS, self._deadline.within(_SECONDS))
        self._ready = False

    def execute(self, command: str, seconds: float = _SECONDS) -> Result:
        """Run ``command`` by ``bash -c``; the guest ends it after ``seconds``.

        Raises:
            DeadlinePassed: it took longer, or the guest does not answer.
        """
        self.wait_until_ready()
        deadline = self._deadline.within(seconds + _GRACE_SECONDS)
        self._ask(command, seconds, deadline)
        result = self._answer(command, deadline)
        if result.status == _TIMED_OUT:
            raise DeadlinePassed(f"`{command}` in the guest took longer than {seconds:.0f} s")
        return result

    def succeed(self, command: str, seconds: float = _SECONDS) -> str:
        """Run ``command``, which must end with status 0; return its standard output."""
        result = self.execute(command, seconds)
        if result.status != 0:
            raise CommandFailed(str(result))
        return result.output

    def fail(self, command: str, seconds: float = _SECONDS) -> str:
        """Run ``command``, which must not end with status 0; return its standard error."""
        result = self.execute(command, seconds)
        if result.status == 0:
            raise CommandFailed(f"{result}\nbut it should have failed")
        return result.errors

    def wait_until_succeeds(self, command: str, seconds: float = _SECONDS) -> str:
        """Run ``command`` again and again until it ends with status 0."""
        deadline = self._deadline.within(seconds)
        while (result := self.execute(command, max(1.0, deadline.remaining))).status != 0:
            if deadline.passed:
                raise DeadlinePassed(f"not in {seconds:.0f} s: {result}")
            time.sleep(_POLL_SECONDS)
        return result.output

    def wait_for_unit(self, unit: str, seconds: float = _SECONDS) -> None:
        """Wait until ``unit`` is active.

        Raises:
            UnitFailed: it has failed, or is not a unit; at once, with the end of its journal.
            DeadlinePassed: it is still not active.
        """
        deadline = self._deadline.within(seconds)
        while (state := self._unit_state(unit)) != "active":
            if state in {"failed", "not-found"}:
                raise UnitFailed(f"{unit} is {state}", hint=self.unit_report(unit))
            if deadline.passed:
                raise DeadlinePassed(
                    f"{unit} is still {state} after {seconds:.0f} s", hint=self.unit_report(unit)
                )
            time.sleep(_POLL_SECONDS)

    def unit_report(self, unit: str) -> str:
        """What systemd and the journal say about ``unit``."""
        report = (
            f"systemctl status --no-pager -l -n 0 {unit}; journalctl --no-pager -u {unit} -n 30"
        )
        return self.execute(report).output

    def _unit_state(self, unit: str) -> str:
        """``active``, ``activating``, ``inactive``, ``failed``, …, or ``not-found``."""
        shown = self.succeed(f"systemctl show -p LoadState -p ActiveState {unit}")
        values = dict(line.split("=", 1) for line in shown.splitlines())
        return "not-found" if values["LoadState"] == "not-found" else values["ActiveState"]

    def _ask(self, command: str, seconds: float, deadline: Deadline) -> None:
        self._number += 1
        encoded = base64.b64encode(command.encode()).decode("ascii")
        request = f"{self._number} {seconds:.0f} {encoded}\n"
        self._lines.send(request.encode(), deadline, f"`{command}`")

    def _answer(self, command: str, deadline: Deadline) -> Result:
        while True:
            line = self._lines.receive(deadline, f"what `{command}` did")
            number, _, rest = line.partition(b" ")
            # The answer to a request that was given up on may still come.
            if number == str(self._number).encode():
                break
        try:
            status, _, outputs = rest.partition(b" ")
            output, errors, _ = outputs.split(b"|")
            return Result(command, int(status), _decoded(output), _decoded(errors))
        except ValueError:
            raise MachineError(f"the guest's test shell answered {line!r}") from None


def _decoded(field: bytes) -> str:
    return base64.b64decode(field).decode("utf-8", "replace")
