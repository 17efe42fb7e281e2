"""What can go wrong with a virtual machine.

ImageError
└── MachineError (exit 1)
    ├── MachineDied      QEMU ended; carries what it said last
    ├── DeadlinePassed   something did not happen in time
    ├── QmpError         QEMU refused a command
    ├── CommandFailed    a command in the guest ended with another status than wanted
    └── UnitFailed       a unit that was waited for has failed
"""

from llmos_image.errors import ImageError


class MachineError(ImageError):
    """The virtual machine did not do what was asked."""


class MachineDied(MachineError):
    """QEMU ended while it was still needed."""


class DeadlinePassed(MachineError):
    """What was waited for did not happen in time; ``hint`` shows what was there instead."""


class QmpError(MachineError):
    """QEMU refused a command on its control socket."""


class CommandFailed(MachineError):
    """A command in the guest ended with a status that was not wanted."""


class UnitFailed(MachineError):
    """A systemd unit failed while it was waited for."""
