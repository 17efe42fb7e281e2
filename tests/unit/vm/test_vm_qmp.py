"""QMP against a fake QEMU on the other end of a socket."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llmos_image.vm.deadline import Deadline
from llmos_image.vm.errors import DeadlinePassed, MachineDied, QmpError
from llmos_image.vm.qmp import Qmp, RunState

Ends = tuple[socket.socket, socket.socket]
GREETING = {"QMP": {"version": {"qemu": {"major": 10}}, "capabilities": []}}


class FakeQemu:
    """Sends the greeting, then lets ``answer`` say what each command gets."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.answer: Callable[[dict[str, Any]], list[dict[str, Any]]] = self.accept
        self.commands: list[dict[str, Any]] = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    @staticmethod
    def accept(command: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"return": {}, "id": command["id"]}]

    def send(self, message: dict[str, Any]) -> None:
        self.end.sendall(json.dumps(message).encode() + b"\r\n")

    def _serve(self) -> None:
        self.send(GREETING)
        with self.end.makefile("rb") as lines:
            for line in lines:
                command = json.loads(line)
                self.commands.append(command)
                for message in self.answer(command):
                    self.send(message)


@pytest.fixture
def qemu(connection: Ends) -> Iterator[FakeQemu]:
    fake = FakeQemu(connection[1])
    yield fake
    connection[0].close()
    fake.thread.join(5)


@pytest.fixture
def qmp(connection: Ends, qemu: FakeQemu) -> Qmp:
    client = Qmp(connection[0], Deadline.after(20))
    client.negotiate()
    return client


def test_commands_are_taken_after_the_greeting(qmp: Qmp, qemu: FakeQemu) -> None:
    assert [command["execute"] for command in qemu.commands] == ["qmp_capabilities"]


def test_an_answer_is_returned(qmp: Qmp, qemu: FakeQemu) -> None:
    qemu.answer = lambda command: [{"return": {"status": "paused"}, "id": command["id"]}]
    assert qmp.state() is RunState.PAUSED


def test_a_state_without_a_name_here_is_no_error(qmp: Qmp, qemu: FakeQemu) -> None:
    qemu.answer = lambda command: [{"return": {"status": "colo"}, "id": command["id"]}]
    assert qmp.state() is RunState.OTHER


def test_a_refusal_says_what_qemu_said(qmp: Qmp, qemu: FakeQemu) -> None:
    refusal = {"class": "GenericError", "desc": "no such device"}
    qemu.answer = lambda command: [{"error": refusal, "id": command["id"]}]
    with pytest.raises(QmpError, match="refused device_del: no such device"):
        qmp.execute("device_del", {"id": "x"})


def test_events_that_come_before_an_answer_are_kept(qmp: Qmp, qemu: FakeQemu) -> None:
    qemu.answer = lambda command: [
        {"event": "POWERDOWN"},
        {"event": "SHUTDOWN"},
        {"return": {}, "id": command["id"]},
    ]
    qmp.execute("system_powerdown")
    qmp.wait_for_event("SHUTDOWN", seconds=1)


def test_an_event_is_waited_for_no_longer_than_asked(qmp: Qmp) -> None:
    with pytest.raises(DeadlinePassed, match="event SHUTDOWN"):
        qmp.wait_for_event("SHUTDOWN", seconds=0.05)


def test_a_late_answer_is_not_taken_for_the_next_commands(qmp: Qmp, qemu: FakeQemu) -> None:
    held: list[dict[str, Any]] = []

    def hold(command: dict[str, Any]) -> list[dict[str, Any]]:
        held.append(command)
        return []

    qemu.answer = hold
    with pytest.raises(DeadlinePassed, match="answer to stop"):
        qmp.execute("stop", seconds=0.05)
    qemu.answer = lambda command: [
        {"return": "late", "id": held[0]["id"]},
        {"return": "mine", "id": command["id"]},
    ]
    assert qmp.execute("cont") == "mine"


def test_a_qemu_that_goes_away_is_noticed_at_once(connection: Ends) -> None:
    ours, theirs = connection
    theirs.close()
    with pytest.raises(MachineDied, match="greeting"):
        Qmp(ours, Deadline.after(20)).negotiate()


@pytest.mark.parametrize("line", [b"garbage\n", b"[1]\n", b'{"no": "greeting"}\n'])
def test_a_peer_that_does_not_speak_qmp_is_refused(connection: Ends, line: bytes) -> None:
    ours, theirs = connection
    theirs.sendall(line)
    with pytest.raises(QmpError):
        Qmp(ours, Deadline.after(20)).negotiate()


def test_keys_are_pressed_together(qmp: Qmp, qemu: FakeQemu) -> None:
    qmp.send_keys(("ctrl", "c"), hold_ms=50)
    keys = [{"type": "qcode", "data": "ctrl"}, {"type": "qcode", "data": "c"}]
    assert qemu.commands[-1]["arguments"] == {"keys": keys, "hold-time": 50}
