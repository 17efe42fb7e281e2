"""The command ``llmos-boot-notice``: tells the person that an update was taken back.

The unit ``llmos-boot-notice.service`` runs it at boot when the ESP has a version that did not
work; what it writes is shown at the start of a session (``llmos_api.notices``).
"""

import sys
from pathlib import Path
from typing import Final

import click

from llmos_api.notices import NOTICES, remove_notice, write_notice
from llmos_ctl.errors import CtlError
from llmos_ctl.update.standing import State
from llmos_ctl.update.world import World

NAME: Final = "boot"


def text_of(state: State) -> str | None:
    """One line for the person; None when all is as it should be."""
    if state.failed is None:
        return None
    return (
        f"Version {state.failed.version} did not work ({state.failed.reason}), and "
        f"{state.running.version} runs instead. More: sudo llmosctl update status"
    )


def tell(world: World, folder: Path) -> str | None:
    """Write the notice, or take an earlier one away."""
    text = text_of(world.state())
    if text is None:
        remove_notice(NAME, folder)
    else:
        write_notice(NAME, text, folder)
    return text


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Tell at the start of a session that a version did not work, when one did not.

    Exit status: 0 done, 1 failed.
    """
    try:
        text = tell(World(), NOTICES)
    except CtlError as error:
        click.echo(f"llmos-boot-notice: {error.what}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"llmos-boot-notice: {text or 'nothing to tell'}")


if __name__ == "__main__":
    main()
