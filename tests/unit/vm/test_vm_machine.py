"""What happens around QEMU: starting, dying, cleaning up. QEMU itself is a script here."""

import os
import time
from pathlib import Path

import pytest

from llmos_image.errors import BuildFailed, UserError
from llmos_image.vm.errors import MachineDied
from llmos_image.vm.interactive import run_interactive
from llmos_image.vm.machine import Machine

from .conftest import ScriptedToolbox

# Answers the greeting and every command that the driver gives on its way in and out.
_TALKING_QEMU = """
fd=$(sed 's/.*socket,id=qmp,fd=\\([0-9]*\\).*/\\1/' <<<"$*")
echo '{"QMP": {}}' >&$fd
while read -r line <&$fd; do
    id=$(sed 's/.*"id": \\([0-9]*\\).*/\\1/' <<<"$line")
    echo "{\\"return\\": {}, \\"id\\": $id}" >&$fd
    case $line in *'"quit"'*) exit 0 ;; esac
done
"""


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_VM_ACCEL", "tcg")


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    artifact = tmp_path / "disk.raw"
    artifact.write_bytes(b"disk")
    return artifact


def machine(toolbox: ScriptedToolbox, artifact: Path) -> Machine:
    return Machine(artifact, toolbox=toolbox, results=artifact.parent / "results", seconds=60)


def test_a_qemu_that_refuses_to_start_says_why(toolbox: ScriptedToolbox, artifact: Path) -> None:
    toolbox.program("qemu-system-x86_64", "echo 'qemu: no such device: foo' >&2; exit 1")
    before = time.monotonic()
    with pytest.raises(MachineDied) as caught, machine(toolbox, artifact):
        pass
    assert "QEMU ended with status 1" in str(caught.value)
    assert "qemu: no such device: foo" in str(caught.value)
    assert time.monotonic() - before < 30


def test_a_machine_starts_and_leaves_nothing_behind(
    toolbox: ScriptedToolbox, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    toolbox.program("qemu-system-x86_64", f"echo $$ > {tmp_path}/pid\n{_TALKING_QEMU}")
    with machine(toolbox, artifact) as vm:
        assert vm.is_running
        assert any(temporary.iterdir())
    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()
    assert not any(temporary.iterdir())
    assert artifact.read_bytes() == b"disk"


def test_the_first_failure_is_the_one_that_is_shown(
    toolbox: ScriptedToolbox, artifact: Path
) -> None:
    toolbox.program("qemu-system-x86_64", _TALKING_QEMU)

    def fail_after_qemu_died() -> None:
        with machine(toolbox, artifact) as vm:
            os.kill(vm.process_id, 9)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_qemu_died()


def test_a_disk_that_cannot_be_made_starts_nothing(
    toolbox: ScriptedToolbox, artifact: Path
) -> None:
    toolbox.program("qemu-img", "echo 'qemu-img: no space left' >&2; exit 1")
    with pytest.raises(BuildFailed, match="no space left"), machine(toolbox, artifact):
        pass


def test_a_missing_artifact_starts_nothing(toolbox: ScriptedToolbox, tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="no such disk image"),
        machine(toolbox, tmp_path / "none.raw"),
    ):
        pass


def test_the_terminal_mode_says_how_to_leave(
    toolbox: ScriptedToolbox, artifact: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    toolbox.program("qemu-system-x86_64", "echo guest output; exit 0")
    assert run_interactive(artifact, toolbox=toolbox) == 0
    shown = capfd.readouterr().out
    assert "Ctrl-A, then x" in shown
    assert "guest output" in shown


def test_a_window_without_a_desktop_is_refused_with_the_way_out(
    toolbox: ScriptedToolbox, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UserError) as caught:
        run_interactive(artifact, toolbox=toolbox, display=True)
    assert "Leave --display out" in str(caught.value)
