"""The installer's screens on machines that are not there; a test's terminal runs this.

python -m tests.integration.installer_screens [--plain]
"""

import sys
import time
from pathlib import Path

from llmos_installer.disks import Disk
from llmos_installer.interview import Facts, Interview
from llmos_installer.lines import Lines
from llmos_installer.plan import InstallPlan
from llmos_installer.progress import Progress, Report, Stage
from tests.unit.installer.fake_machine import GB, SMALL

DISKS = (
    Disk("sda", Path("/dev/sda"), 16 * GB, "Stick", transport="usb", booted_from=True),
    Disk("vda", Path("/dev/vda"), 64 * GB, "virtual disk", transport="virtio"),
)


def work(_plan: InstallPlan, report: Report) -> None:
    """Pretend."""
    for stage in Stage:
        for done in range(0, 101, 20) if stage is Stage.COPY else (0,):
            report(Progress(stage, done, 100 if stage is Stage.COPY else 0))
            time.sleep(0.02)


def main() -> None:
    """Ask, pretend, and say how it ended."""
    interview = Interview(Facts(DISKS, SMALL, has_tpm=False, taken_names=frozenset()))
    if "--plain" in sys.argv:
        lines = Lines()
        work(lines.interview(interview), lines.report)
        return
    from llmos_installer.app import InstallApp  # noqa: PLC0415 - as the command does it

    failure = InstallApp(interview, work).run(mouse=False)
    print("ended with", failure)


if __name__ == "__main__":
    main()
