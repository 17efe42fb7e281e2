"""QEMU's control socket: one JSON object a line, commands answered in order, events between.

https://www.qemu.org/docs/master/interop/qmp-spec.html
"""

import json
import socket
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from llmos_image.vm.deadline import Deadline
from llmos_image.vm.errors import MachineDied, QmpError
from llmos_image.vm.lines import Death, LineSocket

_SECONDS = 30.0


class RunState(StrEnum):
    """What QEMU says the machine is doing; states of no interest here read as OTHER."""

    RUNNING = "running"
    PAUSED = "paused"
    SHUTDOWN = "shutdown"
    INTERNAL_ERROR = "internal-error"
    GUEST_PANICKED = "guest-panicked"
    OTHER = "other"

    @classmethod
    def _missing_(cls, _value: object) -> "RunState":
        return cls.OTHER


class Qmp:
    """A connection on which commands may be given. Every call has a deadline."""

    def __init__(
        self, connection: socket.socket, deadline: Deadline, death: Death = MachineDied
    ) -> None:
        self._lines = LineSocket(connection, peer="QEMU", death=death)
        self._deadline = deadline
        self._events: list[str] = []
        self._number = 0

    def negotiate(self, seconds: float = _SECONDS) -> None:
        """Read the greeting and leave the mode in which QEMU takes no commands."""
        deadline = self._deadline.within(seconds)
        greeting = self._next(deadline, "its greeting")
        if "QMP" not in greeting:
            raise QmpError(f"QEMU greeted with {json.dumps(greeting)} instead of its version")
        self.execute("qmp_capabilities", seconds=seconds)

    def execute(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        seconds: float | None = _SECONDS,
    ) -> Any:
        """Give a command and return what QEMU answers.

        Raises:
            QmpError: QEMU refused it.
            DeadlinePassed: no answer in time.
            MachineDied: QEMU closed the connection.
        """
        deadline = self._deadline.within(seconds)
        self._number += 1
        message = {"execute": command, "arguments": dict(arguments or {}), "id": self._number}
        self._lines.send(json.dumps(message).encode() + b"\n", deadline, command)
        while True:
            answer = self._next(deadline, f"the answer to {command}")
            if "event" in answer:
                self._events.append(str(answer["event"]))
            # An answer to a command whose deadline has passed may still come: not ours.
            elif answer.get("id") == self._number:
                if "error" in answer:
                    raise QmpError(f"QEMU refused {command}: {answer['error'].get('desc')}")
                return answer["return"]

    def wait_for_event(self, name: str, seconds: float | None = None) -> None:
        """Return once QEMU has reported ``name``, now or before."""
        deadline = self._deadline.within(seconds)
        while name not in self._events:
            message = self._next(deadline, f"the event {name}")
            if "event" in message:
                self._events.append(str(message["event"]))
        self._events.remove(name)

    def state(self) -> RunState:
        """What the machine is doing."""
        return RunState(self.execute("query-status")["status"])

    def screendump(self, path: Path) -> None:
        """Write what the display shows to ``path``, as PPM, which every QEMU can."""
        self.execute("screendump", {"filename": str(path), "format": "ppm"})

    def send_keys(self, keys: Sequence[str], hold_ms: int) -> None:
        """Press ``keys`` (QKeyCode names) together, and release them after ``hold_ms``."""
        pressed = [{"type": "qcode", "data": key} for key in keys]
        self.execute("send-key", {"keys": pressed, "hold-time": hold_ms})

    def _next(self, deadline: Deadline, what: str) -> dict[str, Any]:
        line = self._lines.receive(deadline, what)
        try:
            message = json.loads(line)
        except ValueError:
            raise QmpError(f"QEMU sent {line!r}, which is not JSON") from None
        if not isinstance(message, dict):
            raise QmpError(f"QEMU sent {line!r}, which is not an object")
        return message
