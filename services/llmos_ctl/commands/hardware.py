"""``llmosctl hardware``: what the machine computes with, and why."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from llmos_api.hardware import HARDWARE, Card, Hardware, read_hardware
from llmos_runtime.hardware.service import HardwareService


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), default=HARDWARE, hidden=True
)
def hardware(as_json: bool, file: Path) -> None:
    """Show the processors, what the model computes with, and why.

    The choice is made at each start of the machine: CUDA, ROCm, Vulkan, the CPU, whichever is
    the first that works here. The word llmos.stack=cpu on the kernel's command line (or
    vulkan, rocm, cuda) asks for another; so does the same word in /etc/credstore/llmos.stack.

    \b
    Examples:
      llmosctl hardware
      llmosctl hardware --json
    """
    found = read_hardware(file) or _look()
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for line in lines(found):
        click.echo(line)


def lines(found: Hardware) -> Iterator[str]:
    """What a person reads."""
    if found.notice:
        yield click.style(found.notice, fg="yellow")
        yield ""
    yield click.style(f"The model computes with {found.stack.label}", bold=True)
    for step in found.steps:
        yield f"  {step.stack.label:8} {step.outcome:11} {step.reason}"
    yield ""
    yield click.style("Graphics and AI processors", bold=True)
    for card in found.cards:
        yield from _card(card)
    if not found.cards:
        yield "  none"
    yield ""
    yield click.style("Processor and memory", bold=True)
    yield f"  {found.processor.name}, {found.processor.threads} threads, {_size(found.memory)}"
    yield f"  {' '.join(found.processor.features) or 'no vector instructions that are used'}"


def _look() -> Hardware:
    """An image that has nothing but the CPU's back end makes no choice at its start."""
    return HardwareService(Path("/"), os.uname().release, lambda: None).look()


def _card(card: Card) -> Iterator[str]:
    yield f"  {card.slot} {card.name} [{card.id}]{' (used)' if card.used else ''}"
    facts = [card.family, f"driver {card.driver}" if card.driver else "no driver"]
    if card.memory:
        facts.append(_size(card.memory))
    if card.boot_display:
        facts.append("shows the screen")
    yield f"      {', '.join(facts)}"


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
