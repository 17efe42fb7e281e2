"""``llmosctl model``: which models there are, and how they come and go."""

import json
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from llmos_api.notices import NOTICES, remove_notice, write_notice
from llmos_ctl.commands import model_text
from llmos_ctl.errors import CtlError, UsageError
from llmos_ctl.meter import meter, size_text
from llmos_models.change import Change, World, changing
from llmos_models.errors import BadAsk, FormatError, ModelError
from llmos_models.local import local_offer
from llmos_models.manifest import Manifest
from llmos_models.offer import Offer
from llmos_models.scan import ADDED, SHIPPED
from llmos_models.scrub import scrub
from llmos_models.store import Listed, Store

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
_NAME = click.option("--name", help="What to call it  [default: after the file or repository]")
_REPLACE = click.option(
    "--replace", is_flag=True, help="Put it in the place of another model of that name."
)
_NOTICE = "models"


@dataclass(frozen=True)
class Models:
    """The store that a command works on: one thing to inject in tests."""

    store: Store
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)
    world: World = field(default_factory=World)
    notices: Path = NOTICES

    def changing(self, command: str, *, wait: bool = False) -> AbstractContextManager[Change]:
        """The one who may change the store; see :func:`llmos_models.change.changing`."""
        if not self.is_root and self.store.folder == ADDED:
            raise UsageError(
                f"model {command}: changes the models of this machine, and needs root",
                hint=f"sudo llmosctl model {command}",
            )
        return changing(self.store, self.world, on_wait=_say_wait if wait else None)


class _Group(click.Group):
    """Makes what the store says into what ``llmosctl`` says."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (BadAsk, FormatError) as error:
            raise UsageError(str(error), hint=error.hint) from error
        except ModelError as error:
            raise CtlError(str(error), hint=error.hint) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise CtlError(f"{where}{error.strerror or error}") from error


@click.group(cls=_Group)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Work on the models in this folder  [default: {ADDED}]",
)
@click.pass_context
def model(ctx: click.Context, folder: Path | None) -> None:
    """Add, look after and remove the models that the engine answers with.

    Every file is kept under its SHA-256, checked when it comes, and read again each week. Only
    GGUF and safetensors files are ever taken: never a pickle.

    \b
    Examples:
      llmosctl model list
      sudo llmosctl model pull hf:OWNER/REPO:Q4_K_M
      sudo llmosctl model import /media/stick/model.gguf
      sudo llmosctl model default NAME
    """
    if folder is not None or ctx.find_object(Models) is None:
        ctx.obj = Models(Store(folder or ADDED, shipped=SHIPPED))


@model.command("list")
@_JSON
@click.pass_obj
def list_models(models: Models, as_json: bool) -> None:
    """List the models: shipped with the system, added, or put there by hand.

    \b
    Example:
      llmosctl model list
    """
    store = models.store
    found, unfinished = store.listed(), store.unfinished()
    aside = store.quarantined()
    if as_json:
        click.echo(json.dumps(model_text.list_json(found, unfinished, aside), indent=1))
    else:
        click.echo("\n".join(model_text.list_lines(found, unfinished, aside)))


@model.command()
@click.argument("name")
@_JSON
@click.pass_obj
def show(models: Models, name: str, as_json: bool) -> None:
    """Show all that is known of a model: its source, its licence, its files.

    \b
    Example:
      llmosctl model show NAME
    """
    one = _listed(models.store, name)
    if as_json:
        click.echo(json.dumps(model_text.model_json(one), indent=1))
    else:
        click.echo("\n".join(model_text.show_lines(one)))


@model.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@_NAME
@click.option("--sha256", metavar="HEX", help="What the file's SHA-256 must be.")
@_REPLACE
@click.pass_obj
def import_model(
    models: Models, path: Path, name: str | None, sha256: str | None, replace: bool
) -> None:
    """Take in a GGUF file, or a folder with safetensors files, config.json and a tokenizer.

    It is copied; PATH can go afterwards.

    \b
    Examples:
      sudo llmosctl model import /media/stick/model.gguf
      sudo llmosctl model import ~/models/my-model --name mine
    """
    with models.changing(f"import {path}") as change:
        offer = local_offer(path, name=name, sha256=sha256)
        _say_added(_add(change, offer, replace=replace), models.store)


@model.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Also one that is pinned, or the default.")
@click.pass_obj
def rm(models: Models, name: str, force: bool) -> None:
    """Remove a model, and the files that no other model needs.

    \b
    Example:
      sudo llmosctl model rm NAME
    """
    with models.changing(f"rm {name}") as change:
        freed = change.remove(name, force=force)
    click.echo(f"{name} is gone: {size_text(freed)} are free again.")


@model.command()
@click.argument("name")
@click.option("--off", is_flag=True, help="No longer.")
@click.pass_obj
def pin(models: Models, name: str, off: bool) -> None:
    """Keep a model from being removed.

    \b
    Examples:
      sudo llmosctl model pin NAME
      sudo llmosctl model pin --off NAME
    """
    with models.changing(f"pin {name}") as change:
        change.pin(name, pinned=not off)
    click.echo(f"{name} is no longer pinned." if off else f"{name} is pinned.")


@model.command()
@click.argument("name")
@click.pass_obj
def default(models: Models, name: str) -> None:
    """Choose the model that answers when none is named; it answers from the next request on.

    \b
    Example:
      sudo llmosctl model default NAME
    """
    with models.changing(f"default {name}") as change:
        change.make_default(name)
    click.echo(f"{name} answers from the next request on.")


@model.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "every", is_flag=True, help="All models that were added.")
@click.option("--notice", is_flag=True, help="Leave a notice for the session about damage.")
@click.pass_context
def verify(ctx: click.Context, names: tuple[str, ...], every: bool, notice: bool) -> None:
    """Read models again and compare them with their digests; exit 1 when one is damaged.

    What is damaged goes to the quarantine and is no longer offered; the same pull or import
    brings it back. Shipped models need none of this: the system checks them at each read.

    \b
    Examples:
      sudo llmosctl model verify NAME
      sudo llmosctl model verify --all
    """
    models = ctx.ensure_object(Models)
    if bool(names) == every:
        raise UsageError("model verify: name models, or say --all")
    command = "verify --all" if every else f"verify {' '.join(names)}"
    with models.changing(command, wait=True) as change:
        report = scrub(change, None if every else names, meter())
    click.echo("\n".join(model_text.report_lines(report)))
    if notice:
        _leave_notice(models, [name for one in report.damages for name in one.models])
    if not report.is_sound:
        ctx.exit(1)


def _add(change: Change, offer: Offer, *, replace: bool) -> Manifest:
    for path in offer.left_out:
        click.echo(f"left out: {path}", err=True)
    return change.add(offer, meter(), replace=replace)


def _listed(store: Store, name: str) -> Listed:
    found = next((one for one in store.listed() if one.name == name), None)
    if found is None:
        store.get(name)  # says which there are
        raise UsageError(f"no model {name!r}")
    return found


def _say_added(manifest: Manifest, store: Store) -> None:
    facts = manifest.facts
    what = " ".join(filter(None, (facts.architecture, facts.quantisation)))
    click.echo(
        f"{manifest.name}: {what}, {model_text.count_text(facts.parameters)} parameters, "
        f"{size_text(manifest.size)}, licence: {facts.licence or 'not said'}"
    )
    if store.default_name() != manifest.name and store.link(manifest.name).exists():
        click.echo(f"To let it answer: sudo llmosctl model default {manifest.name}")


def _say_wait(what: str) -> None:
    click.echo(f"waiting: {what}", err=True)


def _leave_notice(models: Models, damaged: list[str]) -> None:
    if damaged:
        names = ", ".join(dict.fromkeys(damaged))
        text = f"A disk has damaged the model {names}: pull or import it again."
        write_notice(_NOTICE, text, models.notices)
    else:
        remove_notice(_NOTICE, models.notices)
