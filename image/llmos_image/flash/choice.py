"""Which disk, and whether the person really means it."""

import json
from collections.abc import Sequence

from llmos_image.errors import UserError
from llmos_image.flash.disks import Disk, Roots, all_in, find, size_text
from llmos_image.flash.person import Person
from llmos_image.flash.refusal import Terms, reasons_against


def named(given: str, roots: Roots, terms: Terms) -> Disk:
    """The disk that was named.

    Raises:
        UserError: there is no such disk, or it may not be written.
    """
    disk = find(given, roots)
    refuse_unfit(disk, terms)
    return disk


def picked(disks: Sequence[Disk], roots: Roots, terms: Terms, person: Person) -> Disk:
    """The disk that the person picks from ``disks``.

    Raises:
        UserError: none of them may be written, or none was picked.
    """
    fit = [disk.name for disk in disks if not [*reasons_against(disk, terms)]]
    if not fit:
        raise UserError("there is no disk that may be written", hint="Plug one in.")
    answer = person.ask(f"Which disk? ({', '.join(fit)})")
    if not answer:
        raise UserError("no disk picked; nothing was written")
    return named(answer, roots, terms)


def refuse_unfit(disk: Disk, terms: Terms) -> None:
    """End here unless ``disk`` may be written.

    Raises:
        UserError: with every reason.
    """
    if reasons := [*reasons_against(disk, terms)]:
        lines = "\n".join(f"  it {reason}" for reason in reasons)
        is_used = any(not use.is_systems for use in disk.uses)
        raise UserError(
            f"{disk} is not written:\n{lines}",
            hint="Unmount it (umount PLACE), or close what holds it." if is_used else None,
        )


def confirm(disk: Disk, *, yes: bool, person: Person) -> None:
    """Have the person type the disk's name, unless ``yes`` was said of a removable one.

    Raises:
        UserError: it was not confirmed.
    """
    if yes and disk.is_removable:
        return
    if not person.is_there:
        raise UserError(
            f"{disk}: nobody confirmed it, and there is no terminal to ask at",
            hint="--yes confirms a removable disk."
            if disk.is_removable
            else "What is not removable is only ever confirmed by typing its name.",
        )
    answer = person.ask(f"Everything on {disk} will be lost. Type its name to go on")
    if answer != disk.name:
        raise UserError(f"'{answer}' is not '{disk.name}'; nothing was written")


def candidates(roots: Roots, terms: Terms) -> Sequence[Disk]:
    """The disks to choose from."""
    return [disk for disk in all_in(roots) if disk.is_removable or terms.allow_fixed]


def table_of(disks: Sequence[Disk], terms: Terms) -> str:
    """The disks for a person; below each the reasons why it cannot be taken."""
    if not disks:
        return "There is no disk." if terms.allow_fixed else "There is no removable disk."
    lines = []
    for disk in disks:
        lines.append(
            f"{disk.name:10} {size_text(disk.size):>10}  {disk.transport:8}  {disk.model or '-'}"
        )
        lines += [f"{'':10} no: it {reason}" for reason in reasons_against(disk, terms)]
    return "\n".join(lines)


def json_of(disks: Sequence[Disk], terms: Terms) -> str:
    """The same for a program."""
    return json.dumps(
        [
            {
                "name": disk.name,
                "path": str(disk.node),
                "size": disk.size,
                "model": disk.model,
                "serial": disk.serial,
                "transport": disk.transport,
                "removable": disk.is_removable,
                "refused": [*reasons_against(disk, terms)],
            }
            for disk in disks
        ]
    )
