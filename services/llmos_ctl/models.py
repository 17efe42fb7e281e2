"""The models that ``llmosctl model`` works on: one thing to inject in tests."""

import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from llmos_api.notices import NOTICES
from llmos_ctl.errors import CtlError, UsageError
from llmos_models.change import Change, World, changing
from llmos_models.contents import plain
from llmos_models.errors import BadAsk, FormatError, ModelError
from llmos_models.patience import Patience
from llmos_models.scan import ADDED
from llmos_models.store import Store


@dataclass(frozen=True)
class Models:
    """The store, who asks, and what a download needs beside the network."""

    store: Store
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)
    world: World = field(default_factory=World)
    notices: Path = NOTICES
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    patience: Patience = field(default_factory=lambda: Patience(on_wait=_say_again))

    def changing(self, command: str, *, wait: bool = False) -> AbstractContextManager[Change]:
        """The one who may change the store; see :func:`llmos_models.change.changing`."""
        if not self.is_root and self.store.folder == ADDED:
            raise UsageError(
                f"model {command}: changes the models of this machine, and needs root",
                hint=f"sudo llmosctl model {command}",
            )
        return changing(self.store, self.world, on_wait=_say_wait if wait else None)


class Group(click.Group):
    """Makes what the store says into what ``llmosctl`` says."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (BadAsk, FormatError) as error:
            raise UsageError(plain(str(error)), hint=error.hint) from error
        except ModelError as error:
            raise CtlError(plain(str(error)), hint=error.hint) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise CtlError(f"{where}{error.strerror or error}") from error


def _say_again(what: str) -> None:
    # In the place of the bar that is drawn there.
    click.echo(f"\r{plain(what)}\x1b[K" if sys.stderr.isatty() else plain(what), err=True)


def _say_wait(what: str) -> None:
    click.echo(f"waiting: {what}", err=True)
