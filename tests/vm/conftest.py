"""The image that VM tests boot, and what a person needs when one of them fails.

The image is `$LLMOS_VM_IMAGE` (a disk), else the spec `vm` is built from this checkout, which
takes little longer than a minute when only code has changed; `$LLMOS_DEFAULT_IMAGE` and the spec
`default` are the same for what people flash. Logs and screenshots go to build/test-results/.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from llmos_image.errors import ImageError
from llmos_image.tools import Sandbox
from llmos_image.vm.machine import Machine
from llmos_image.vm_command import toolbox as make_toolbox

_ROOT = Path(__file__).resolve().parent.parent.parent
_RESULTS = _ROOT / "build" / "test-results"
_BUILD = "from llmos_image.cli import main; main()"


@pytest.fixture(scope="session")
def vm_image() -> Path:
    """The disk to boot."""
    return _disk("LLMOS_VM_IMAGE", "vm")


@pytest.fixture(scope="session")
def default_image() -> Path:
    """The disk that people flash."""
    return _disk("LLMOS_DEFAULT_IMAGE", "default")


def _disk(variable: str, spec: str) -> Path:
    """The disk that ``variable`` names, else ``spec`` built from this checkout."""
    if given := os.environ.get(variable):
        disk = Path(given).absolute()
        assert disk.is_file(), f"{variable}: {disk}: no such file"
        return disk
    command = [sys.executable, "-c", _BUILD, "build", spec, "--json"]
    command += ["--out", str(_ROOT / "build")]
    built = subprocess.run(command, cwd=_ROOT, check=False, stdout=subprocess.PIPE)
    assert built.returncode == 0, "the image could not be built; the reason is on standard error"
    return Path(json.loads(built.stdout)["artifact"])


@pytest.fixture(scope="session")
def toolbox() -> Sandbox:
    """The tools tree with QEMU."""
    return make_toolbox().sandbox


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Path:
    """The folder for a test file's logs and screenshots."""
    folder = _RESULTS / Path(request.path).stem
    # What an earlier run left must not be taken for this one's.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@contextlib.contextmanager
def booted(machine: Machine, prompt: re.Pattern[str]) -> Iterator[Machine]:
    """Run ``machine`` up to its prompt.

    Part of the fixture, so that an image that does not boot fails once and not in every test.
    """
    with machine as vm:
        try:
            vm.serial.wait_for_text(prompt, seconds=600)
        except ImageError as error:
            error.add_note(_evidence(vm, "boot"))
            raise
        yield vm


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure: log, screenshot, what the terminal shows, and how to see it again."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        vm = item.funcargs.get("vm")
        if isinstance(vm, Machine):
            report.sections.append(
                ("virtual machine", _evidence(vm, item.name, item.nodeid.rpartition("::")[0]))
            )
    return report


def _evidence(vm: Machine, name: str, test: str = "tests/vm") -> str:
    lines = [f"serial log   {vm.serial.log}"]
    try:
        lines.append(f"machine      {vm.qmp.state()}")
        lines.append(f"screenshot   {vm.screenshot(f'failed-{name}')}")
    except (ImageError, OSError) as error:
        lines.append(f"screenshot   none: {error}")
    lines += ["serial terminal:", *(f"  | {row}" for row in vm.serial.rows if row)]
    lines += [
        f"again        LLMOS_VM_IMAGE={vm.artifact} ./build.sh test {test}",
        f"by hand      ./build.sh vm {vm.artifact}",
    ]
    return "\n".join(lines)
