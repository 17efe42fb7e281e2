"""Does what a plan says. Until the very end the disk has no partition table, so that what is
half installed never starts: systemd-repart writes the table last.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from llmos_installer import bootentry, gpt, settings
from llmos_installer.compare import compare
from llmos_installer.disks import SECTOR, Disk, disks
from llmos_installer.errors import InstallerError, Interrupted
from llmos_installer.layout import Filling, Slot, definitions, write_definitions
from llmos_installer.plan import Encryption, InstallPlan, reasons_against
from llmos_installer.programs import ProgramFailed, Programs, tail
from llmos_installer.progress import Progress, Report, Stage
from llmos_installer.running import Running, boot_files
from llmos_installer.sources import mounted_esp
from llmos_installer.world import World, read

PCRS: Final = "7"
"""What the TPM binds the data to: the state of Secure Boot and its keys."""
TPM_SECONDS: Final = 30.0
"""A TPM that answers later than this never will; some hang for ten minutes."""
_REREAD: Final = 0x125F  # BLKRRPART, linux/fs.h


@dataclass(frozen=True, slots=True)
class Installer:
    """Installs the system ``source``. ``offline`` as systemd-repart(8) has it."""

    world: World
    programs: Programs
    source: Running
    offline: str = "auto"

    def install(self, plan: InstallPlan, report: Report) -> None:
        """Do what ``plan`` says.

        Raises:
            InstallerError: a step failed; the disk then has no partition table.
        """
        report(Progress(Stage.PREPARE))
        with (
            self._workspace() as work,
            mounted_esp(self.world, self.programs, self.source.esp) as esp,
        ):
            self._check_tpm(plan)
            command = self._command(plan, work, esp)
            # Says what does not fit while the old contents are still there.
            self.programs([*command, "--dry-run=yes", plan.disk.path])
            self._again(plan)
            report(Progress(Stage.ERASE))
            claimed = _claim(plan)
            try:
                _erase(plan, claimed)
                self._copy(plan, command, report)
                self._compare(plan, report)
            except BaseException as error:
                _take_table_away(plan, error)
                if isinstance(error, KeyboardInterrupt):
                    raise Interrupted(f"interrupted; {_left(plan)}") from None
                error.add_note(_left(plan))
                raise
        report(Progress(Stage.BOOT_ENTRY))
        note = bootentry.add(self.world, self.programs, plan.disk.name)
        report(Progress(Stage.DONE, note=note))

    def is_installed_on(self, disk: Disk) -> bool:
        """Whether this very version is on ``disk`` already: its root is made of the same hash."""
        try:
            handle = os.open(disk.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return any(str(e.uuid) == self.source.root.uuid for e in gpt.read_table(handle))
        finally:
            os.close(handle)

    def _command(self, plan: InstallPlan, work: Path, esp: Path) -> list[str | Path]:
        settings.stage(work / "data", plan.choices.settings, self.world.root, self._make_user)
        # As a folder: of single files below /run systemd-repart copies none, and does not say so.
        _copy_all(boot_files(esp, self.source), work / "boot")
        filling = Filling(
            root=self.source.root,
            verity=self.source.verity,
            boot=work / "boot",
            data=work / "data",
            encrypt=plan.choices.encryption.repart,
        )
        write_definitions(work / "repart.d", definitions(plan.layout, filling))
        # A seed of its own: no two machines' partitions may be called the same.
        command: list[str | Path] = ["systemd-repart", f"--definitions={work / 'repart.d'}"]
        command += ["--empty=force", "--seed=random", "--no-pager", "--json=short"]
        command += [f"--offline={self.offline}"]
        if plan.choices.encryption is not Encryption.NONE:
            key = work / "key"
            key.write_text(plan.choices.key, encoding="utf-8")
            command.append(f"--key-file={key}")
        if plan.choices.encryption is Encryption.TPM2:
            # Without systemd-pcrlock's policy, which it takes when one is there: that is a file
            # of the system that seals, and the initrd that unseals has none.
            command += ["--tpm2-device=auto", f"--tpm2-pcrs={PCRS}", "--tpm2-pcrlock="]
        return command

    def _check_tpm(self, plan: InstallPlan) -> None:
        """Seal something, so that a TPM that does not work is found before anything is erased."""
        if plan.choices.encryption is not Encryption.TPM2:
            return
        try:
            self.programs(
                ["systemd-creds", "encrypt", "--with-key=tpm2", f"--tpm2-pcrs={PCRS}",
                 "--name=llmos", "/dev/null", "-"],
                seconds=TPM_SECONDS,
            )  # fmt: skip
        except ProgramFailed as error:
            raise InstallerError(
                f"the TPM of this machine does not work:\n{tail(error.what)}",
                hint="Nothing was changed. Encrypt by a passphrase instead.",
            ) from None

    def _again(self, plan: InstallPlan) -> None:
        """Look a last time: between the question and now a stick may have been changed."""
        now = next((d for d in disks(self.world) if d.name == plan.disk.name), None)
        if now is None or not now.is_same(plan.disk):
            raise InstallerError(
                f"{plan.disk.name}: is not the disk any more that was chosen",
                hint="Nothing was changed. Choose again.",
            )
        if reasons := reasons_against(now, plan.layout):
            raise InstallerError(f"{now.name}: {'; '.join(reasons)}", hint="Nothing was changed.")

    def _copy(self, plan: InstallPlan, command: list[str | Path], report: Report) -> None:
        total = sum(_size(slot) for slot in (self.source.root, self.source.verity))
        before = self._written(plan)

        def tick() -> None:
            report(Progress(Stage.COPY, min(self._written(plan) - before, total), total))

        tick()
        self.programs([*command, "--dry-run=no", plan.disk.path], tick=tick)

    def _written(self, plan: InstallPlan) -> int:
        """Bytes that the disk has taken since it was found (Documentation/block/stat.rst)."""
        fields = read(self.world.sys / "block" / plan.disk.name / "stat").split()
        return int(fields[6]) * SECTOR if len(fields) > 6 else 0

    def _compare(self, plan: InstallPlan, report: Report) -> None:
        slots = (self.source.verity, self.source.root)
        total = sum(_size(slot) for slot in slots)
        done = 0
        handle = os.open(plan.disk.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            table = {str(entry.uuid): entry for entry in gpt.read_table(handle)}
            for slot in slots:
                entry = table.get(slot.uuid)
                if entry is None:
                    raise InstallerError(f"{plan.disk.path}: no partition {slot.label} there")
                told = partial(_compared, report, done, total)
                compare(slot.source, handle, entry.offset, told)
                done += _size(slot)
        finally:
            os.close(handle)

    def _make_user(self, root: Path, lines: str, password_hash: str) -> None:
        config, credentials = root / "user.conf", root / "credentials"
        credentials.mkdir(mode=0o700)
        config.write_text(lines, encoding="utf-8")
        name = lines.split()[1]
        (credentials / f"passwd.hashed-password.{name}").write_text(password_hash)
        self.programs(
            ["systemd-sysusers", f"--root={root}", config],
            env={"CREDENTIALS_DIRECTORY": str(credentials)},
        )

    @contextlib.contextmanager
    def _workspace(self) -> Iterator[Path]:
        """A folder in memory: it holds keys."""
        folder = self.world.run / "llmos-install"
        with contextlib.ExitStack() as stack:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            stack.enter_context(_only_one(folder / "lock"))
            work = folder / "work"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(mode=0o700)
            stack.callback(shutil.rmtree, work, ignore_errors=True)
            yield work


def _copy_all(files: Mapping[str, Path], folder: Path) -> None:
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copyfile(source, folder / name)


def _claim(plan: InstallPlan) -> int:
    """Open the disk for us alone: the kernel refuses when a part of it came into use after all."""
    try:
        return os.open(plan.disk.path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        raise InstallerError(
            f"{plan.disk.path}: {error.strerror}", hint="Nothing was changed."
        ) from None


def _erase(plan: InstallPlan, claimed: int) -> None:
    try:
        gpt.invalidate(claimed, plan.disk.size)
        with contextlib.suppress(OSError):  # the table counts, not what the kernel remembers
            fcntl.ioctl(claimed, _REREAD)
    except OSError as error:
        raise InstallerError(f"{plan.disk.path}: {error.strerror or error}") from None
    finally:
        # systemd-repart lets the kernel read the new table, which needs the disk unclaimed.
        os.close(claimed)


def _left(plan: InstallPlan) -> str:
    return f"{plan.disk.name} has no partition table now: nothing starts from it."


def _take_table_away(plan: InstallPlan, error: BaseException) -> None:
    """Leave nothing that starts; a failure of this goes along with the one that led here."""
    try:
        handle = os.open(plan.disk.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            gpt.invalidate(handle, plan.disk.size)
        finally:
            os.close(handle)
    except OSError as failure:
        error.add_note(f"{plan.disk.path}: its partition table could not be removed: {failure}")


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InstallerError(
                "an installation is going on already", hint="Look at the machine's other console."
            ) from None
        yield


def _compared(report: Report, before: int, total: int, done: int) -> None:
    report(Progress(Stage.COMPARE, before + done, total))


def _size(slot: Slot) -> int:
    with slot.source.open("rb") as file:
        return file.seek(0, os.SEEK_END)
