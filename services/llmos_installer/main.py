"""The command ``llmos-install``: the only place where an error becomes an exit."""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, NoReturn

import click

from llmos_installer import answers, keys
from llmos_installer.consoles import Consoles
from llmos_installer.disks import Disk, disks
from llmos_installer.errors import BadInput, InstallerError, Interrupted
from llmos_installer.install import Installer
from llmos_installer.interview import Facts, Interview
from llmos_installer.layout import Layout
from llmos_installer.lines import Lines
from llmos_installer.plan import InstallPlan, plan, reasons_against
from llmos_installer.programs import HostPrograms
from llmos_installer.running import has_tpm, running
from llmos_installer.settings import account_names
from llmos_installer.sources import find_answers
from llmos_installer.terminal import prepare
from llmos_installer.world import World

EXIT_INTERRUPTED: Final = 130
REBOOT: Final = ("systemctl", "reboot")
POWER_OFF: Final = ("systemctl", "poweroff")


@dataclass(frozen=True)
class _Here:
    """This machine and what it can install."""

    world: World
    installer: Installer
    layout: Layout

    @classmethod
    def look(cls) -> "_Here":
        world, programs = World(), HostPrograms()
        source = running(world)
        layout = Layout.of_the_image(world.root, esp=source.esp_size)
        return cls(world, Installer(world, programs, source), layout)

    def disks(self) -> tuple[Disk, ...]:
        return disks(self.world)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--answers", "file", type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Ask nothing: do what this file says.",
)  # fmt: skip
@click.option(
    "--check", is_flag=True, help="Say what the answers mean on this machine; do nothing."
)
@click.option("--list", "list_disks", is_flag=True, help="List the disks, and why one cannot be.")
@click.option("--new-recovery-key", is_flag=True, help="Print a recovery key for an answer file.")
@click.option("--plain", is_flag=True, help="Line by line, without full screens.")
@click.option("--json", "as_json", is_flag=True, help="With --list: for programs.")
@click.version_option(version("llmos"), prog_name="llmos-install")
def command(
    file: Path | None,
    check: bool,
    list_disks: bool,
    new_recovery_key: bool,
    plain: bool,
    as_json: bool,
) -> None:
    """Install the running system from its stick to a disk of this machine.

    Asks on this terminal, unless there is an answer file: --answers, the system credential
    llmos.install, or llmos-install.toml on the stick's EFI system partition.

    Exit status: 0 done, 1 failed, 2 bad input, 130 interrupted.

    \b
    Examples:
      llmos-install --list
      llmos-install --answers site.toml --check
    """
    if new_recovery_key:
        click.echo(keys.new_recovery_key())
        return
    if os.geteuid() != 0:
        raise BadInput("only root can install", hint="sudo llmos-install")
    here = _Here.look()
    if list_disks:
        _list(here, as_json)
        return
    given = (
        (file.read_text(encoding="utf-8"), str(file))
        if file
        else find_answers(here.world, here.installer.programs, here.installer.source, os.environ)
    )
    if given is None:
        if check:
            raise BadInput("--check: there is no answer file", hint="Name one with --answers.")
        _interactive(here, plain=plain)
    else:
        _unattended(here, *given, check=check)


def _unattended(here: _Here, text: str, source: str, *, check: bool) -> None:
    found = answers.parse(text, source, here.world.root)
    all_disks = here.disks()
    agreed = plan(all_disks, here.layout, found.choices(all_disks, here.layout))
    if not found.again and here.installer.is_installed_on(agreed.disk):
        raise BadInput(
            f"{agreed.disk.name}: {here.installer.source.name} is on it already",
            hint="Nothing was changed. Set 'again = true' under [target] to install it anew.",
        )
    consoles = Consoles(here.world)
    if check:
        for line in (*agreed.erased(), *agreed.made()):
            click.echo(line)
        return
    with consoles.one_of_them() as first:
        if not first:
            return
        # The cursor may be anywhere: systemd asks a terminal for its size by moving it.
        for line in ("", *agreed.erased(), *agreed.made()):
            consoles.say(line)
        here.installer.install(agreed, Lines(consoles.say).report)
        here.installer.programs(REBOOT if found.after is answers.After.REBOOT else POWER_OFF)


def _interactive(here: _Here, *, plain: bool) -> None:
    if not sys.stdin.isatty():
        raise BadInput("standard input is no terminal", hint="Give an answer file: --answers.")
    while True:
        interview = Interview(
            Facts(
                here.disks(),
                here.layout,
                has_tpm(here.world),
                account_names(here.world.root),
            )
        )
        settings = None if plain else prepare(0, os.environ)
        failure = (
            _in_lines(here, interview)
            if settings is None
            else _on_screens(here, interview, settings)
        )
        if failure is None:
            here.installer.programs(REBOOT)
            return
        if isinstance(failure, Interrupted):
            raise failure


def _on_screens(
    here: _Here, interview: Interview, settings: dict[str, str]
) -> InstallerError | None:
    os.environ.update(settings)
    from llmos_installer.app import InstallApp  # noqa: PLC0415 - slow, and reads its settings now

    app = InstallApp(interview, here.installer.install)
    failure = app.run(mouse=False)
    if app.crash is not None:
        raise InstallerError(f"{type(app.crash).__name__}: {app.crash}", hint="Try --plain.")
    return failure


def _in_lines(here: _Here, interview: Interview) -> InstallerError | None:
    lines = Lines()
    try:
        agreed: InstallPlan = lines.interview(interview)
        here.installer.install(agreed, lines.report)
    except Interrupted:
        raise
    except InstallerError as error:
        _complain(error)
        input("Press Enter to go back to the beginning. ")
        return error
    input("Remove the stick, then press Enter: the machine starts again. ")
    return None


def _list(here: _Here, as_json: bool) -> None:
    found = [(disk, reasons_against(disk, here.layout)) for disk in here.disks()]
    if as_json:
        shown = [
            {"name": d.name, "size": d.size, "model": d.model, "serial": d.serial,
             "transport": d.transport, "removable": d.removable, "ids": d.ids,
             "reasons_against": why}
            for d, why in found
        ]  # fmt: skip
        click.echo(json.dumps(shown))
        return
    for disk, why in found:
        click.echo(disk.words() + (f", serial {disk.serial}" if disk.serial else ""))
        for reason in why:
            click.echo(f"  not possible: {reason}")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _as_interrupt)
    sys.exit(
        guarded(lambda: command.main(arguments, prog_name="llmos-install", standalone_mode=False))
    )


def guarded(action: Callable[[], object]) -> int:
    """Run ``action``; what goes wrong becomes a message and an exit status."""
    try:
        status = action()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("llmos-install: interrupted", err=True)
        return EXIT_INTERRUPTED
    except InstallerError as error:
        _complain(error)
        return error.exit_code
    except OSError as error:
        _complain(InstallerError(str(error)))
        return 1
    return status if isinstance(status, int) else 0


def _complain(error: InstallerError) -> None:
    first, *others = error.lines()
    click.echo(f"{click.style('llmos-install:', fg='red')} {first}", err=True)
    for line in others:
        click.echo(line, err=True)


def _as_interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
