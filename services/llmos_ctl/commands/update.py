"""``llmosctl update``: look for updates, install them, go back."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

from llmos_ctl.commands import update_text
from llmos_ctl.errors import CtlError, UsageError
from llmos_ctl.update.candidates import Candidate, candidates
from llmos_ctl.update.definitions import SYSTEM
from llmos_ctl.update.standing import State
from llmos_ctl.update.tries import Tries
from llmos_ctl.update.world import World

TRIES: Final = Tries(left=3)

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
_SOURCE = click.option(
    "--source", metavar="PLACE", help="Look at this URL or folder, for once, and not at the usual."
)
_REBOOT = click.option("--reboot", is_flag=True, help="Start again at once when it is done.")


@click.group()
def update() -> None:
    """Keep this machine up to date, and go back when an update is no good.

    The system has two places on the disk: an update is written to the one that does not run,
    and starts next. When it does not work in three starts, the one before comes back by itself.

    \b
    Examples:
      llmosctl update check
      sudo llmosctl update apply --reboot
      sudo llmosctl update apply --source /media/stick
      sudo llmosctl update status
    """


@update.command()
@_SOURCE
@_JSON
@click.pass_context
def check(ctx: click.Context, source: str | None, as_json: bool) -> None:
    """Say what is installed and what is published. Changes nothing, needs no root.

    \b
    Example:
      llmosctl update check
    """
    world = _world(ctx)
    state = world.state()
    found = candidates(world, state, world.sysupdate(_url(source)))
    if as_json:
        click.echo(json.dumps(update_text.check_json(state, found), indent=1))
    else:
        click.echo("\n".join(update_text.check_lines(state, found)))


@update.command()
@click.argument("components", nargs=-1, metavar="[COMPONENT]...")
@_SOURCE
@click.option("--retry", is_flag=True, help="Try a version again that did not work.")
@_REBOOT
@click.pass_context
def apply(
    ctx: click.Context,
    components: tuple[str, ...],
    source: str | None,
    retry: bool,
    reboot: bool,
) -> None:
    """Install what is newer: the system and everything else that is installed.

    A COMPONENT (see check) is installed also when it was not there before. What is fetched is
    checked against the key of the image before anything is made to start.

    \b
    Examples:
      sudo llmosctl update apply
      sudo llmosctl update apply --source https://updates.example/llmos --reboot
    """
    world = _world(ctx)
    world.require_root("update apply")
    state = world.state()
    if state.running.mode != "normal":
        raise UsageError(
            f"this system runs in {state.running.mode} mode, and no update would last",
            hint="Start it normally, from its own disk.",
        )
    if retry and (failed := state.failed) is not None and failed.entry is not None:
        world.loader.try_again(failed.entry, TRIES)
        world.loader.follow_versions(state.entries)
        click.echo(update_text.next_start(failed.version, state))
        _reboot(world, wanted=reboot)
        return
    updater = world.sysupdate(_url(source))
    for found in candidates(world, state, updater, components):
        if not _is_wanted(found, asked=bool(components)):
            click.echo(update_text.nothing_newer(found, state))
            continue
        assert found.newest is not None  # noqa: S101 - it is newer than something
        if found.component == SYSTEM and not state.has_room:
            raise CtlError(
                update_text.ONE_SLOT,
                hint="Put it on a larger one: 'llmos-image flash', or install it from here.",
            )
        with _progress(f"{found.component} {found.newest}") as show:
            updater.install(found.component, found.newest, show)
        if found.component == SYSTEM:
            # Whoever had gone back to an older version wants this one now.
            world.loader.follow_versions(state.entries)
            click.echo(update_text.next_start(found.newest, state))
        else:
            click.echo(update_text.installed(found))
    _reboot(world, wanted=reboot)


@update.command()
@_JSON
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Say what is installed, what runs, what starts next, and why an update was taken back.

    Some of it only root may see.

    \b
    Example:
      sudo llmosctl update status
    """
    world = _world(ctx)
    state = world.state()
    if as_json:
        click.echo(json.dumps(update_text.status_json(state), indent=1))
    else:
        click.echo("\n".join(update_text.status_lines(state, is_root=world.is_root)))


@update.command()
@_REBOOT
@click.pass_context
def rollback(ctx: click.Context, reboot: bool) -> None:
    """Start the other proven version from now on; the next update ends that.

    \b
    Example:
      sudo llmosctl update rollback --reboot
    """
    world = _world(ctx)
    world.require_root("update rollback")
    state = world.state()
    other = state.other
    if other is None or other.entry is None:
        raise CtlError(
            "there is no other version that has worked here", hint="\n".join(_why_none(state))
        )
    if other.version == state.newest:
        world.loader.follow_versions()
    else:
        world.loader.start_next(other.entry)
    click.echo(f"At the next start {other.version} runs, and stays. The same command undoes it.")
    _reboot(world, wanted=reboot)


def _world(ctx: click.Context) -> World:
    return ctx.find_object(World) or World()


def _url(source: str | None) -> str | None:
    """A folder becomes a file URL: then it is checked like anything from the network."""
    if source is None:
        return None
    url = f"file://{source}" if source.startswith("/") else source
    if not url.startswith(("https://", "http://", "file:///")):
        raise UsageError(
            f"--source: {source!r} is no place for updates "
            "(accepted: an https, http or file URL, or an absolute path)"
        )
    return url.rstrip("/")


def _is_wanted(found: Candidate, *, asked: bool) -> bool:
    if found.component != SYSTEM and found.installed is None and not asked:
        return False
    return found.is_newer


def _why_none(state: State) -> Iterator[str]:
    for one in state.installed:
        if not one.runs:
            yield f"{one.version}: {update_text.STANDINGS[one.standing]}"
    if state.free_slots:
        yield "The other place is free: there has been no update yet."


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int], None]]:
    """A bar for a person; for a file or a journal, one line."""
    if not sys.stderr.isatty():
        click.echo(f"installing {label}", err=True)
        yield lambda _percent: None
        return
    with click.progressbar(length=100, label=label, file=sys.stderr) as bar:
        yield lambda percent: bar.update(max(0, percent - bar.pos))
        bar.update(100 - bar.pos)


def _reboot(world: World, *, wanted: bool) -> None:
    if not wanted:
        return
    done = world.run(["systemctl", "reboot"])
    if done.status:
        raise CtlError(f"the machine does not start again: {done.err.strip()}")
