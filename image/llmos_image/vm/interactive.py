"""An artifact on this terminal: its serial console, and a window for its display if wanted."""

import contextlib
import os
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path

from llmos_image.errors import HostError, Interrupted
from llmos_image.vm.disk import ROOMY, medium_arguments, scratch_folder
from llmos_image.vm.errors import MachineDied
from llmos_image.vm.hardware import Firmware, Hardware
from llmos_image.vm.kvm import Accelerator, Choice, best_accelerator
from llmos_image.vm.process import never_outlives_us
from llmos_image.vm.toolbox import Toolbox

_X11_SOCKETS = Path("/tmp/.X11-unix")  # noqa: S108  # where X servers listen, by convention


def run_interactive(
    artifact: Path,
    *,
    toolbox: Toolbox,
    display: bool = False,
    memory: str = "2G",
    cpus: int = 2,
    disk_size: str = ROOMY,
) -> int:
    """Boot ``artifact`` with its serial console on this terminal, until the guest ends.

    What the guest writes to its disk is thrown away. Returns 0.

    Raises:
        HostError: there is no display to open a window on.
        MachineDied: QEMU ended badly; it has said why on this terminal.
    """
    choice = best_accelerator(toolbox)
    window = _window_sockets() if display else []
    artifact = artifact.resolve()
    with scratch_folder() as folder:
        command = [
            *("qemu-system-x86_64", "-name", "llmos"),
            *Hardware(memory=memory, cpus=cpus).arguments(choice.accelerator),
            *Firmware.find(toolbox).arguments(folder),
            *medium_arguments(artifact, folder, toolbox, size=disk_size),
            *("-display", "gtk" if display else "none"),
            # Ctrl-C and the like go to the guest; Ctrl-A is for QEMU.
            *("-serial", "mon:stdio"),
        ]
        argv = toolbox.argv(
            never_outlives_us(command),
            binds=[folder, *window, *choice.accelerator.devices()],
            ro_binds=[artifact],
        )
        print(_greeting(artifact, choice), flush=True)
        with _terminal_as_it_was():
            status = _run(argv)
    if status:
        raise MachineDied(f"QEMU ended with status {status}")
    return 0


def _greeting(artifact: Path, choice: Choice) -> str:
    lines = [f"Booting {artifact} with {choice}; nothing is written to it."]
    if choice.accelerator is Accelerator.TCG:
        lines.append("Without KVM this takes a minute or two.")
    lines.append("To leave: sudo poweroff inside, or press Ctrl-A, then x, to pull the plug.")
    return "\n".join(lines)


def _run(argv: Sequence[str]) -> int:
    try:
        # In our own process group: only the foreground group may read the terminal.
        with subprocess.Popen(argv) as process:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # Before QEMU has taken the terminal, Ctrl-C reaches both of us.
                process.terminate()
                raise Interrupted from None
    except FileNotFoundError as error:
        raise HostError(
            f"{error.filename}: no such program", hint="Run ./build.sh first."
        ) from None


@contextlib.contextmanager
def _terminal_as_it_was() -> Iterator[None]:
    """QEMU sets the terminal to raw, and cannot set it back when it is killed."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        # A terminal that was closed meanwhile needs nothing any more.
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
            if sys.stdout.isatty():
                # Attributes off, cursor on, whole screen scrolls: the guest's last screen may
                # have left all of it otherwise.
                sys.stdout.write("\x1b[0m\x1b[?25h\x1b[r\n")


def _window_sockets() -> list[Path]:
    """What a program needs to open a window on this desktop."""
    sockets = []
    if os.environ.get("DISPLAY"):
        sockets.append(_X11_SOCKETS)
        sockets.append(Path(os.environ.get("XAUTHORITY", "~/.Xauthority")).expanduser())
    if os.environ.get("WAYLAND_DISPLAY"):
        runtime = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
        sockets.append(runtime / os.environ["WAYLAND_DISPLAY"])
    found = [path for path in sockets if path.exists()]
    if not found:
        raise HostError(
            "no desktop to open a window on: neither DISPLAY nor WAYLAND_DISPLAY is set",
            hint="Leave --display out: the serial console needs no window.",
        )
    return found
