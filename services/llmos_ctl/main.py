"""The command ``llmosctl``: the only place where an error becomes an exit."""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import NoReturn

import click

from llmos_ctl.commands.hardware import hardware
from llmos_ctl.commands.model import model
from llmos_ctl.commands.security import security
from llmos_ctl.commands.update import update
from llmos_ctl.errors import CtlError

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("llmos"), prog_name="llmosctl")
def cli() -> None:
    """Look after this machine: its models, its hardware and its updates.

    Exit status: 0 done, 1 failed, 2 bad input, 130 interrupted.
    """


cli.add_command(update)
cli.add_command(hardware)
cli.add_command(model)
cli.add_command(security)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    sys.exit(_guarded(lambda: cli.main(arguments, prog_name="llmosctl", standalone_mode=False)))


def _guarded(action: Callable[[], object]) -> int:
    try:
        status = action()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("llmosctl: interrupted", err=True)
        return EXIT_INTERRUPTED
    except CtlError as error:
        click.echo(f"{click.style('llmosctl:', fg='red')} {error.what}", err=True)
        if error.hint:
            click.echo(error.hint, err=True)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read us has seen enough; nothing more can be said to them.
        sys.stderr.close()
        return EXIT_FAILED
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    main()
