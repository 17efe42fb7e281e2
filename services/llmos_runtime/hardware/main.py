"""The command ``llmos-hardware``: run by its service, and by the engine's when it has ended."""

import os
import sys
from pathlib import Path
from typing import Final

import click

from llmos_api.hardware import Hardware
from llmos_runtime.hardware.service import HardwareService

EXIT_FAILED: Final = 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("/"),
    show_default=True,
    help="Look at the machine below this folder.",
)
@click.version_option(package_name="llmos", prog_name="llmos-hardware")
@click.pass_context
def cli(context: click.Context, root: Path) -> None:
    """Choose what the engine computes with; systemd runs it.

    To see the choice: llmosctl hardware.

    Exit status: 0 done, 1 failed, 2 bad arguments.
    """
    reload = _reload if root == Path("/") else _no_reload
    context.obj = HardwareService(root, os.uname().release, reload)


@cli.command()
@click.pass_obj
def choose(service: HardwareService) -> None:
    """Look at the machine and choose; done at each boot."""
    _say(service.choose())


@cli.command()
@click.option("--result", envvar="SERVICE_RESULT", default="success", help="How the engine ended.")
@click.pass_obj
def ended(service: HardwareService, result: str) -> None:
    """Step down to the next stack when the engine has died in the present one."""
    hardware = service.engine_ended(result)
    if hardware is not None:
        _say(hardware)


def main() -> None:
    """Run the command line and exit."""
    try:
        cli()
    except OSError as error:
        click.echo(
            f"llmos-hardware: {error.filename or 'cannot go on'}: {error.strerror}", err=True
        )
        sys.exit(EXIT_FAILED)


def _say(hardware: Hardware) -> None:
    """For the journal: one line for each step."""
    for step in hardware.steps:
        click.echo(f"{step.stack}: {step.outcome}: {step.reason}")


def _reload() -> None:
    import subprocess  # noqa: PLC0415 - only where a card was chosen

    # A drop-in counts from the next reload on; a failure shows in the journal, and the engine
    # then starts as before.
    subprocess.run(["systemctl", "daemon-reload"], check=False)


def _no_reload() -> None:
    """Another machine's files: this one's systemd has nothing to read."""


if __name__ == "__main__":
    main()
