r"""A virtual machine that a test can talk to as a person would, and as root besides.

    with Machine(artifact, toolbox=toolbox, results=folder) as vm:
        vm.guest.wait_for_unit("llmos-engine.service")
        vm.serial.type_line("how much free disk space is there")
        vm.serial.wait_for_text("$ df -h")
        vm.type_on_screen("uname\n")
        vm.wait_for_screen_text("Linux")

The artifact is never written: an overlay takes the writes and is thrown away.
"""

import base64
import contextlib
import re
import socket
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Self

from llmos_image.vm import guest as guest_shell
from llmos_image.vm.credentials import Credential
from llmos_image.vm.deadline import Deadline
from llmos_image.vm.disk import (
    ROOMY,
    further_disk_arguments,
    medium_arguments,
    scratch_folder,
)
from llmos_image.vm.errors import DeadlinePassed, MachineError
from llmos_image.vm.font import ConsoleFont
from llmos_image.vm.guest import GuestShell
from llmos_image.vm.hardware import (
    Firmware,
    Hardware,
    credential_arguments,
    kernel_arguments,
)
from llmos_image.vm.keyboard import Chord, chord, chords
from llmos_image.vm.kvm import Choice, best_accelerator
from llmos_image.vm.process import QemuProcess, never_outlives_us
from llmos_image.vm.qmp import Qmp
from llmos_image.vm.screen import Frame, read_text
from llmos_image.vm.serial import SerialConsole
from llmos_image.vm.toolbox import Toolbox
from llmos_image.vm.tpm import software_tpm

_SECONDS = 300.0
_WHOLE_LIFE_SECONDS = 3600.0
_POLL_SECONDS = 1.0
# A PS/2 keyboard holds 16 bytes: keys must not come faster than an emulated guest takes them.
_KEY_SECONDS = 0.05


class Machine:
    """A machine that runs inside a ``with`` block.

    ``artifact`` may be none: the firmware then starts with no disk. ``results`` gets the serial
    log, QEMU's own log and the screenshots. ``further_disks`` are written to, and stay;
    ``kernel_words`` are added to the kernel's command line; ``tpm_state`` is a folder in which
    a TPM's memory outlives the machine. ``seconds`` bounds the machine's whole life; every wait
    has a bound of its own besides.
    """

    def __init__(
        self,
        artifact: Path | None,
        *,
        toolbox: Toolbox,
        results: Path,
        hardware: Hardware | None = None,
        credentials: Sequence[Credential] = (),
        with_guest_shell: bool = True,
        disk_size: str = ROOMY,
        further_disks: Sequence[Path] = (),
        kernel_words: Sequence[str] = (),
        tpm_state: Path | None = None,
        seconds: float = _WHOLE_LIFE_SECONDS,
    ) -> None:
        self.artifact = artifact
        self.results = results
        self.hardware = hardware or Hardware()
        self._toolbox = toolbox
        self._credentials = [*(guest_shell.credentials() if with_guest_shell else ()), *credentials]
        self._disk_size = disk_size
        self._further_disks = [disk.resolve() for disk in further_disks]
        self._kernel_words = kernel_words
        self._tpm_state = tpm_state
        self._seconds = seconds
        self._font: ConsoleFont | None = None

    # Life

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._stack.close()
        except Exception as failure:
            # The first failure is the one that tells something; this one only goes along.
            if error is None:
                raise
            error.add_note(f"and then the machine could not be taken down: {failure}")

    def _start(self, stack: contextlib.ExitStack) -> None:
        self.results.mkdir(parents=True, exist_ok=True)
        self.accelerator: Choice = best_accelerator(self._toolbox)
        self._deadline = Deadline.after(self._seconds)
        self._folder = folder = stack.enter_context(scratch_folder())
        ours, theirs = _socket_pairs(stack, ("qmp", "serial", "guest"))
        tpm: list[str] = []
        if self.hardware.tpm:
            log = self.results / "swtpm.log"
            tpm = stack.enter_context(software_tpm(self._toolbox, folder, log, self._tpm_state))
        argv = self._argv(folder, {name: end.fileno() for name, end in theirs.items()}, tpm)
        descriptors = [end.fileno() for end in theirs.values()]
        self._process = QemuProcess(argv, descriptors, self.results / "qemu.log")
        stack.callback(self._process.end)
        # With our copies open, the end of QEMU would not close the connections.
        for end in theirs.values():
            end.close()
        death = self._process.death
        self.serial = SerialConsole(
            ours["serial"], self.results / "serial.log", self._deadline, death=death
        )
        stack.callback(self.serial.close)
        self.guest = GuestShell(ours["guest"], self._deadline, death)
        self.qmp = Qmp(ours["qmp"], self._deadline, death)
        stack.callback(self._quit)
        self.qmp.negotiate()

    def _argv(self, folder: Path, descriptors: dict[str, int], tpm: Sequence[str]) -> list[str]:
        accelerator = self.accelerator.accelerator
        firmware = Firmware.find(self._toolbox, secure_boot=self.hardware.secure_boot)
        command = [
            *("qemu-system-x86_64", "-name", "llmos", "-display", "none"),
            *self.hardware.arguments(accelerator),
            *firmware.arguments(folder),
            *tpm,
            *("-chardev", f"socket,id=qmp,fd={descriptors['qmp']}"),
            *("-mon", "chardev=qmp,mode=control"),
            *("-chardev", f"socket,id=serial,fd={descriptors['serial']}"),
            *("-serial", "chardev:serial"),
            *("-chardev", f"socket,id=guest,fd={descriptors['guest']}"),
            *("-device", "virtio-serial-pci"),
            *("-device", f"virtserialport,chardev=guest,name={guest_shell.PORT}"),
            *credential_arguments(self._credentials),
            *kernel_arguments(self._kernel_words),
        ]
        readable: list[Path] = []
        if self.artifact is not None:
            artifact = self.artifact.resolve()
            command += medium_arguments(
                artifact, folder, self._toolbox, size=self._disk_size, usb=self.hardware.usb_stick
            )
            readable.append(artifact)
        # After the first, which so is vda, unless it is a USB stick.
        command += further_disk_arguments(self._further_disks)
        return self._toolbox.argv(
            never_outlives_us(command),
            binds=[folder, *accelerator.devices(), *self._further_disks],
            ro_binds=readable,
        )

    def _quit(self) -> None:
        with contextlib.suppress(MachineError):
            self.qmp.execute("quit", seconds=5)
            self._process.wait(5)

    @property
    def is_running(self) -> bool:
        """Whether QEMU is."""
        return self._process.status is None

    @property
    def process_id(self) -> int:
        """QEMU's."""
        return self._process.pid

    def wait_for_shutdown(self, seconds: float = _SECONDS) -> None:
        """Wait until the guest has powered itself off.

        Raises:
            MachineDied: QEMU ended in another way.
        """
        if not self._process.wait(self._deadline.within(seconds).remaining):
            raise DeadlinePassed(
                f"the guest did not power off in {seconds:.0f} s", hint=self.serial.text
            )
        if self._process.status != 0:
            raise self._process.death("the guest did not power off")

    # The display

    def frame(self) -> Frame:
        """What the display shows now."""
        dump = self._folder / "screen.ppm"
        self.qmp.screendump(dump)
        return Frame.from_ppm(dump.read_bytes())

    def screenshot(self, name: str) -> Path:
        """Keep what the display shows as ``NAME.png`` among the results."""
        path = self.results / f"{name}.png"
        path.write_bytes(self.frame().png())
        return path

    def screen_rows(self) -> tuple[str, ...]:
        """The text on the display's text console, read from its pixels."""
        return read_text(self.frame(), self.console_font())

    def console_font(self) -> ConsoleFont:
        """The font of the guest's text console; asked of its kernel once."""
        if self._font is None:
            program = resources.files(__package__).joinpath("guest_font.py").read_text("utf-8")
            answer = self.guest.succeed(f"python3 - <<'END'\n{program}\nEND")
            self._font = ConsoleFont.from_psf(base64.b64decode(answer))
        return self._font

    def wait_for_screen_text(self, text: str | re.Pattern[str], seconds: float = _SECONDS) -> None:
        """Wait until a row of the text console on the display holds ``text``."""
        pattern = re.compile(re.escape(text)) if isinstance(text, str) else text
        deadline = self._deadline.within(seconds)
        while not _is_on(pattern, rows := self.screen_rows()):
            if deadline.passed:
                shown = "\n".join(f"  | {row}" for row in rows if row)
                raise DeadlinePassed(
                    f"no {pattern.pattern!r} on the display within {seconds:.0f} s",
                    hint=f"it shows:\n{shown}\nscreenshot: {self.screenshot('not-found')}",
                )
            time.sleep(_POLL_SECONDS)

    def wait_for_screen_change(self, since: Frame, seconds: float = _SECONDS) -> Frame:
        """Wait until the display shows another picture than ``since``; return it."""
        deadline = self._deadline.within(seconds)
        while (frame := self.frame()) == since:
            if deadline.passed:
                raise DeadlinePassed(f"the display did not change within {seconds:.0f} s")
            time.sleep(_POLL_SECONDS)
        return frame

    # The keyboard

    def type_on_screen(self, text: str) -> None:
        """Type ``text`` on the keyboard that belongs to the display; a newline is Enter."""
        for keys in chords(text):
            self._strike(keys)

    def press_on_screen(self, *names: str) -> None:
        """Press keys one after the other, such as ``ret``, ``esc`` or ``ctrl-c``."""
        for name in names:
            self._strike(chord(name))

    def _strike(self, keys: Chord) -> None:
        self.qmp.send_keys(keys, hold_ms=int(_KEY_SECONDS * 1000))
        time.sleep(2 * _KEY_SECONDS)


def _is_on(pattern: re.Pattern[str], rows: Sequence[str]) -> bool:
    return any(pattern.search(row) for row in rows)


def _socket_pairs(
    stack: contextlib.ExitStack, names: Sequence[str]
) -> tuple[dict[str, socket.socket], dict[str, socket.socket]]:
    """Connections to hand over: no path to choose, nobody else can connect."""
    ours, theirs = {}, {}
    for name in names:
        here, there = socket.socketpair()
        ours[name] = stack.enter_context(here)
        theirs[name] = stack.enter_context(there)
    return ours, theirs
