"""``llmos-image flash``: an image on a USB stick, written and compared, and nothing else harmed."""

import functools
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from llmos_image.errors import UserError
from llmos_image.flash import choice, source, writer
from llmos_image.flash.device import check_reachable, opened
from llmos_image.flash.disks import Disk, Roots, find, size_text
from llmos_image.flash.meter import Meter, meter
from llmos_image.flash.person import AtTerminal, Person
from llmos_image.flash.proof import prove
from llmos_image.flash.refusal import Terms
from llmos_image.flash.source import Image, Source
from llmos_image.vm.toolbox import HostToolbox, Toolbox
from llmos_image.vm_command import toolbox

_KEYRING = Path("keys/signing.pgp")


@dataclass(frozen=True)
class Wish:
    """What the person asked for."""

    image: Path
    device: str | None = None
    keyring: Path | None = None
    require_signature: bool = False
    allow_fixed: bool = False
    yes: bool = False
    as_json: bool = False


@dataclass(frozen=True)
class World:
    """Where it happens: the machine, the person, and the ways to tell them things."""

    roots: Roots
    person: Person
    meter: Meter
    say: Callable[[str], None]
    show: Callable[[str], None]
    tools: Callable[[], Toolbox]
    programs: source.Programs


def flash(wish: Wish, world: World) -> tuple[Image, Disk]:
    """Put the image on the disk, prove it is there, and return both.

    Raises:
        UserError: the image or the disk will not do; nothing was written.
        VerifyFailed: the image is not what its maker made; nothing was written.
        FlashFailed: the disk did not get it; the message says what it is worth now.
    """
    found = source.find(wish.image, world.programs)
    disk = _choose(wish, world, found.size)
    check_reachable(disk)
    world.say(f"{found.path} → {disk}")
    prove(
        found,
        keyring=wish.keyring or _KEYRING,
        # Who names a keyring wants the proof.
        is_required=wish.require_signature or wish.keyring is not None,
        tools=world.tools,
        say=world.say,
        meter=world.meter,
    )
    image = found.image or _measured(found, world.meter)
    # What was not known of the image before is now.
    choice.refuse_unfit(disk, Terms(image.size, wish.allow_fixed))
    choice.confirm(disk, yes=wish.yes, person=world.person)
    with opened(disk, lambda: find(str(disk.node), world.roots)) as device:
        writer.write(image, device, world.meter)
        device.rescan()
    return image, disk


def _choose(wish: Wish, world: World, size: int | None) -> Disk:
    terms = Terms(size, wish.allow_fixed)
    if wish.device is not None:
        return choice.named(wish.device, world.roots, terms)
    disks = choice.candidates(world.roots, terms)
    if wish.as_json or not world.person.is_there:
        world.show(choice.json_of(disks, terms) if wish.as_json else choice.table_of(disks, terms))
        raise UserError("no device named", hint="Name one that is listed: flash IMAGE DEVICE.")
    world.say(choice.table_of(disks, terms))
    return choice.picked(disks, world.roots, terms, world.person)


def _measured(found: Source, meter: Meter) -> Image:
    with meter.phase("Measure", found.size) as advance:
        return found.measured(advance)


def this_world() -> World:
    """The machine that this runs on, and the person who started it."""
    tree = functools.cache(lambda: toolbox().sandbox)
    has_gpg = shutil.which("gpg") and shutil.which("gpgconf")
    return World(
        roots=Roots(),
        person=AtTerminal(),
        meter=meter(),
        say=functools.partial(click.echo, err=True),
        show=click.echo,
        # Whoever only flashes should not have to wait for the tools tree.
        tools=HostToolbox if has_gpg else tree,
        programs=lambda command: command if shutil.which(command[0]) else tree().argv(command),
    )


@click.command("flash")
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("device", required=False)
@click.option("--yes", is_flag=True, help="Do not ask; for a removable disk only.")
@click.option("--allow-fixed", is_flag=True, help="Let DEVICE be a disk that is built in.")
@click.option(
    "--require-signature", is_flag=True, help="Refuse an image that is not known to be signed."
)
@click.option(
    "--keyring",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Public keys to trust; implies --require-signature.  [default: {_KEYRING}]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
def flash_command(
    image: Path,
    device: str | None,
    yes: bool,
    allow_fixed: bool,
    require_signature: bool,
    keyring: Path | None,
    as_json: bool,
) -> None:
    """Write IMAGE (a build's folder, .raw, .raw.zst, .raw.xz) to the disk DEVICE, and compare.

    Without DEVICE it lists the removable disks and asks which one; away from a terminal it
    only lists them, with exit status 2. Everything on the disk is lost, so its name has to be
    typed. What this machine uses is never written: a mounted disk, one that holds its system,
    swap, RAID, LVM or LUKS.

    \b
    Examples:
      llmos-image flash build/llmos_0.1.0
      llmos-image flash llmos_0.1.0.raw.zst sdb --keyring acme.pgp
    """
    began = time.monotonic()
    wish = Wish(
        image=image,
        device=device,
        keyring=keyring,
        require_signature=require_signature,
        allow_fixed=allow_fixed,
        yes=yes,
        as_json=as_json,
    )
    written, disk = flash(wish, this_world())
    seconds = time.monotonic() - began
    if as_json:
        facts = {"device": disk.name, "size": written.size, "sha256": written.sha256}
        click.echo(json.dumps({**facts, "compared": True, "seconds": round(seconds, 2)}))
    else:
        click.secho(f"{disk.name}: written and compared, {size_text(written.size)}", bold=True)
        click.echo("It can be unplugged.")
