"""The parts around an installation: programs, comparing, the firmware's menu, answer files."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from llmos_installer import bootentry
from llmos_installer.compare import CHUNK, compare
from llmos_installer.consoles import Consoles
from llmos_installer.errors import BadAnswers, BadInput, InstallerError, Interrupted
from llmos_installer.keys import is_recovery_key
from llmos_installer.main import command, guarded
from llmos_installer.programs import HostPrograms, ProgramFailed, nothing, tail
from llmos_installer.running import running
from llmos_installer.sources import find_answers
from llmos_installer.terminal import prepare
from tests.unit.installer.fake_machine import FakeMachine


@dataclass
class FakePrograms:
    """Keeps what was asked for; what is named in ``failing`` fails."""

    failing: tuple[str, ...] = ()
    asked: list[list[str]] = field(default_factory=list)
    on_mount: Callable[[Path], None] = lambda _: None

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        tick: Callable[[], None] = nothing,
        seconds: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        words = [str(part) for part in argv]
        self.asked.append(words)
        if words[0] in self.failing:
            raise ProgramFailed(f"{words[0]} ended with status 1")
        if words[0] == "mount":
            self.on_mount(Path(words[-1]))
        return ""

    @property
    def names(self) -> list[str]:
        return [words[0] for words in self.asked]


# Programs


def test_what_a_program_prints_comes_back() -> None:
    assert HostPrograms()(["sh", "-c", "echo $GIVEN; echo aside >&2"], env={"GIVEN": "x"}) == "x\n"


def test_a_failure_shows_the_end_of_what_was_said() -> None:
    with pytest.raises(ProgramFailed, match="sh ended with status 3") as caught:
        HostPrograms()(["sh", "-c", "echo the reason >&2; exit 3"])
    assert "the reason" in caught.value.what
    with pytest.raises(ProgramFailed):
        HostPrograms()(["no-such-program"])


def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(ProgramFailed, match="did not end within"):
        HostPrograms()(["sleep", "1000"], seconds=0.1)


def test_whoever_looks_on_can_stop_it_with_all_that_it_started(tmp_path: Path) -> None:
    def stop() -> None:
        raise Interrupted

    mark = tmp_path / "mark"
    with pytest.raises(Interrupted):
        HostPrograms()(["sh", "-c", f"(sleep 1; touch {mark}) & wait"], tick=stop)
    time.sleep(1.2)
    assert not mark.exists()


def test_lines_that_were_drawn_over_count_once() -> None:
    assert tail("copying 1%\rcopying 99%\rcopied\n\nfailed\n") == "  copied\n  failed"


# Comparing


def test_what_is_the_same_passes_and_is_counted(tmp_path: Path) -> None:
    content = os.urandom(CHUNK + 5000)
    (tmp_path / "source").write_bytes(content)
    (tmp_path / "disk").write_bytes(bytes(777) + content)
    counted: list[int] = []
    with (tmp_path / "disk").open("rb") as disk:
        compare(tmp_path / "source", disk.fileno(), 777, counted.append)
    assert counted == [CHUNK, len(content)]


@pytest.mark.parametrize("place", [0, 4095, CHUNK, CHUNK + 4999])
def test_the_first_byte_that_differs_is_named(tmp_path: Path, place: int) -> None:
    content = bytearray(CHUNK + 5000)
    (tmp_path / "source").write_bytes(content)
    content[place] = 1
    (tmp_path / "disk").write_bytes(content)
    with (tmp_path / "disk").open("rb") as disk, pytest.raises(InstallerError, match=f"{place}$"):
        compare(tmp_path / "source", disk.fileno(), 0, lambda _: None)


def test_a_disk_that_ends_too_early_differs(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(bytes(5000))
    (tmp_path / "disk").write_bytes(bytes(4000))
    with (tmp_path / "disk").open("rb") as disk, pytest.raises(InstallerError, match=r"4000$"):
        compare(tmp_path / "source", disk.fileno(), 0, lambda _: None)


# The firmware's menu


@pytest.fixture
def installed(machine: FakeMachine) -> FakeMachine:
    """A machine with UEFI and a disk whose partitions the kernel knows."""
    machine.disk("vda")
    machine.partition("vda", 1)
    (machine.folder / "sys/firmware/efi/efivars").mkdir(parents=True)
    return machine


def test_the_firmware_gets_an_entry(installed: FakeMachine) -> None:
    programs = FakePrograms()
    assert bootentry.add(installed.world, programs, "vda") == ""
    assert programs.names == ["udevadm", "mount", "bootctl", "umount"]


@pytest.mark.parametrize("broken", ["udevadm", "mount", "bootctl"])
def test_without_an_entry_there_is_a_remark_and_no_failure(
    installed: FakeMachine, broken: str
) -> None:
    programs = FakePrograms(failing=(broken,))
    assert "choose the disk in the firmware's menu" in bootentry.add(
        installed.world, programs, "vda"
    )
    assert ("mount" in programs.names[:-1]) == ("umount" in programs.names) or broken == "mount"


def test_a_machine_without_uefi_gets_a_remark(machine: FakeMachine) -> None:
    programs = FakePrograms()
    assert "not started by UEFI" in bootentry.add(machine.world, programs, "vda")
    assert not programs.asked


# Where answers lie


def test_a_credential_comes_before_a_file_on_the_stick(
    machine: FakeMachine, tmp_path: Path
) -> None:
    machine.stick()
    source = running(machine.world)

    def fill(place: Path) -> None:
        (place / "llmos-install.toml").write_text("from the stick")

    programs = FakePrograms(on_mount=fill)
    found = find_answers(machine.world, programs, source, {})
    assert found == ("from the stick", "llmos-install.toml on the stick")
    assert programs.names == ["mount", "umount"]
    (tmp_path / "llmos.install").write_text("from the firmware")
    found = find_answers(machine.world, programs, source, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert found == ("from the firmware", "the credential llmos.install")
    (tmp_path / "llmos.install").write_bytes(b"\xff\xfe")
    with pytest.raises(BadAnswers, match="utf-8"):
        find_answers(machine.world, programs, source, {"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_without_an_answer_file_somebody_is_asked(machine: FakeMachine) -> None:
    machine.stick().mount("sdb1", str(machine.folder / "run"))
    programs = FakePrograms()
    assert find_answers(machine.world, programs, running(machine.world), {}) is None
    assert not programs.asked


def test_away_from_the_consoles_only_the_own_output_is_told(machine: FakeMachine) -> None:
    machine.write("sys/class/tty/console/active", "tty0 ttyS0\n")
    for name in ("tty1", "ttyS0"):
        machine.write(f"dev/{name}", "")
    Consoles(machine.world).say("a line")
    assert (machine.folder / "dev/ttyS0").read_text() == ""


def test_one_console_does_it_and_another_waits_for_its_end(machine: FakeMachine) -> None:
    seen: list[bool] = []

    def another() -> None:
        with Consoles(machine.world).one_of_them() as first:
            seen.append(first)

    with Consoles(machine.world).one_of_them() as first:
        thread = threading.Thread(target=another)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(10)
    assert (first, seen) == (True, [False])


# The terminal


def test_a_pipe_gets_lines() -> None:
    ours, theirs = os.pipe()
    assert prepare(ours, {"TERM": "linux"}) is None
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(("term", "full"), [("linux", True), ("vt220", True), ("dumb", False)])
def test_a_terminal_without_a_size_gets_one(term: str, full: bool) -> None:
    ours, theirs = os.openpty()
    settings = prepare(theirs, {"TERM": term})
    assert (settings is not None) == full
    if full:
        assert os.get_terminal_size(theirs) == (80, 24)
    os.close(ours)
    os.close(theirs)


# The command


def test_it_makes_recovery_keys_for_answer_files() -> None:
    done = CliRunner().invoke(command, ["--new-recovery-key"])
    assert is_recovery_key(done.output.strip())


def test_on_a_system_that_is_no_stick_it_says_so_without_a_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llmos_installer.main", "--list"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {1, 2}
    assert done.stderr.startswith("llmos-install: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InstallerError("a"), 1),
        (BadInput("a"), 2),
        (Interrupted(), 130),
        (KeyboardInterrupt(), 130),
        (OSError(5, "Input/output error"), 1),
    ],
)
def test_every_way_out_has_its_status(
    error: BaseException, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert guarded(fail) == status
    assert capsys.readouterr().err.startswith("llmos-install: ")
