"""The choice and the machine in the shape of ``hardware.json``."""

from collections.abc import Sequence

from llmos_api.hardware import SCHEMA, Card, Hardware, Processor
from llmos_runtime.hardware.choice import Choice
from llmos_runtime.hardware.names import Names
from llmos_runtime.hardware.pci import PciCard
from llmos_runtime.hardware.table import Table


def report(
    choice: Choice,
    cards: Sequence[PciCard],
    table: Table,
    *,
    names: Names,
    processor: Processor,
    memory: int,
) -> Hardware:
    """Put everything together."""
    used = {card.slot for card in choice.cards}
    return Hardware(
        schema=SCHEMA,
        stack=choice.stack,
        steps=choice.steps,
        cards=tuple(_card(card, table, names, used=card.slot in used) for card in cards),
        processor=processor,
        memory=memory,
        wanted=choice.wanted,
        notice=choice.notice,
    )


def _card(card: PciCard, table: Table, names: Names, *, used: bool) -> Card:
    subsystem = None
    if card.subvendor is not None and card.subdevice is not None:
        subsystem = f"{card.subvendor & 0xFFFF:04x}:{card.subdevice & 0xFFFF:04x}"
    return Card(
        slot=card.slot,
        id=card.id,
        name=names.of(card.vendor, card.device) or card.id,
        family=table.family_of(card).label,
        driver=card.driver,
        subsystem=subsystem,
        revision=card.revision,
        boot_display=card.boot_display,
        memory=card.memory,
        nodes=card.nodes,
        used=used,
    )
