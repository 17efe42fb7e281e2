"""``llmosctl model``: which models there are, and how they come and go."""

import json
import re
from pathlib import Path

import click

from llmos_api.notices import remove_notice, write_notice
from llmos_ctl.commands import model_text
from llmos_ctl.errors import UsageError
from llmos_ctl.meter import meter, size_text
from llmos_ctl.models import Group, Models
from llmos_models.change import Change
from llmos_models.contents import plain
from llmos_models.errors import BadAsk
from llmos_models.local import local_offer
from llmos_models.manifest import Manifest
from llmos_models.offer import Offer
from llmos_models.scan import ADDED, SHIPPED
from llmos_models.scrub import scrub
from llmos_models.settings import hub_settings
from llmos_models.store import Listed, Store

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
_NAME = click.option("--name", help="What to call it  [default: after the file or repository]")
_REPLACE = click.option(
    "--replace", is_flag=True, help="Put it in the place of another model of that name."
)
_SHA256_HELP = "What the file's SHA-256 must be."
_NOTICE = "models"
_SHOWN = 8


def _digest(_ctx: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise click.BadParameter("must be 64 digits, 0-9 and a-f")
    return text


@click.group(cls=Group)
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
    stock = model_text.Stock.of(models.store)
    if as_json:
        click.echo(json.dumps(model_text.list_json(stock), indent=1))
    else:
        click.echo("\n".join(model_text.list_lines(stock)))


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
@click.option("--sha256", metavar="HEX", callback=_digest, help=_SHA256_HELP)
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
@click.argument("source")
@_NAME
@click.option("--sha256", metavar="HEX", callback=_digest, help=_SHA256_HELP + " Needed for a URL.")
@click.option("--endpoint", metavar="URL", help="The hub to ask, for once.")
@_REPLACE
@click.pass_obj
def pull(
    models: Models,
    source: str,
    name: str | None,
    sha256: str | None,
    endpoint: str | None,
    replace: bool,
) -> None:
    """Download a model from a Hugging Face hub, or a GGUF file from a URL.

    SOURCE is hf:OWNER/REPO, hf:OWNER/REPO:FILE.gguf or hf:OWNER/REPO:Q4_K_M, each of them with
    @REVISION if need be, or a URL together with --sha256. What was interrupted goes on with the
    same command. Everything that arrives is compared with the digests that the hub has.

    Another hub than the usual one: --endpoint, $HF_ENDPOINT, or hub_endpoint = "URL" in
    /etc/llmos/models.toml. A token for private and gated repositories: the credential
    llmos.hf-token (a file in /etc/credstore, readable by root only), or $HF_TOKEN.

    \b
    Examples:
      sudo llmosctl model pull hf:OWNER/REPO:Q4_K_M
      sudo llmosctl model pull hf:OWNER/REPO@v1.0 --name mine
      sudo llmosctl model pull https://models.example/m.gguf --sha256 HEX
    """
    with models.changing(f"pull {source}") as change:
        offer = _offered(models, source, name=name, sha256=sha256, endpoint=endpoint)
        try:
            manifest = _add(change, offer, replace=replace)
        except KeyboardInterrupt:
            click.echo("What has arrived is kept: the same command goes on with it.", err=True)
            raise
        _say_added(manifest, models.store)


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


def _offered(
    models: Models, source: str, *, name: str | None, sha256: str | None, endpoint: str | None
) -> Offer:
    # Only here: it loads the libraries that speak HTTP.
    from llmos_models.hub import Hub, Reference  # noqa: PLC0415
    from llmos_models.web import Web, url_offer  # noqa: PLC0415

    if source.startswith("hf:"):
        if sha256:
            raise BadAsk("--sha256: is for URLs; the hub says itself what its files hash to")
        settings = hub_settings(endpoint, models.environment)
        return Hub(settings, patience=models.patience).offer(Reference.parse(source), name=name)
    if not source.startswith(("https://", "http://")):
        raise BadAsk(
            f"{source[:200]!r} is no source (accepted: hf:OWNER/REPO, or an https or http URL)",
            hint="A file of this machine: llmosctl model import PATH",
        )
    if sha256 is None:
        raise BadAsk("a URL needs --sha256: nothing else says whether the right file came")
    return url_offer(Web(patience=models.patience), source, sha256, name=name)


def _add(change: Change, offer: Offer, *, replace: bool) -> Manifest:
    if offer.left_out:
        more = len(offer.left_out) - _SHOWN
        names = ", ".join(plain(path) for path in offer.left_out[:_SHOWN])
        click.echo(f"left out: {names}{f' and {more} more' if more > 0 else ''}", err=True)
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


def _leave_notice(models: Models, damaged: list[str]) -> None:
    if damaged:
        names = ", ".join(dict.fromkeys(damaged))
        text = f"A disk has damaged the model {names}: pull or import it again."
        write_notice(_NOTICE, text, models.notices)
    else:
        remove_notice(_NOTICE, models.notices)
