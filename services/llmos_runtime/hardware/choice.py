"""Which stack the engine computes with, and why: a function of what was found.

    CUDA ──► ROCm ──► Vulkan ──► the CPU

The first that a card can use, that is installed whole and that has not failed at this boot is
taken. Every stack gets a reason, also those that were passed over.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from llmos_api.hardware import Outcome, Stack, Step
from llmos_runtime.hardware.available import ICD_OF, SOFTWARE_ICD, Available
from llmos_runtime.hardware.nvidia import misfit
from llmos_runtime.hardware.pci import PciCard
from llmos_runtime.hardware.table import Family, Table


@dataclass(frozen=True)
class Choice:
    """What was chosen: the stack, the cards that it runs on, and a step for every stack."""

    stack: Stack
    cards: tuple[PciCard, ...]
    steps: tuple[Step, ...]
    wanted: Stack | None = None
    notice: str = ""

    @property
    def software(self) -> bool:
        """Whether Vulkan runs on the CPU, because the person asked for it."""
        return self.stack is Stack.VULKAN and not self.cards

    @property
    def drivers(self) -> tuple[str, ...]:
        """The kernel drivers of the cards."""
        return tuple(sorted({card.driver for card in self.cards if card.driver}))


@dataclass(frozen=True)
class _Found:
    outcome: Outcome
    reason: str
    cards: tuple[PciCard, ...] = ()


def choose(
    cards: Sequence[PciCard],
    available: Available,
    table: Table,
    *,
    failures: Mapping[Stack, str] | None = None,
    wanted: Stack | None = None,
) -> Choice:
    """Choose a stack.

    ``failures`` says of stacks how the engine died in them at this boot. ``wanted`` is the
    best stack that the person allows; with ``vulkan`` it may be Mesa's software one.
    """
    failures = failures or {}
    found: dict[Stack, _Found] = {}
    chosen: Stack | None = None
    for stack in Stack:
        if chosen is not None:
            found[stack] = _Found(Outcome.NOT_NEEDED, f"{chosen.label} is better")
        elif wanted is not None and list(Stack).index(stack) < list(Stack).index(wanted):
            found[stack] = _Found(Outcome.NOT_NEEDED, f"llmos.stack={wanted} was asked for")
        else:
            found[stack] = _look(stack, cards, available, table, wanted)
            if found[stack].outcome is Outcome.CHOSEN:
                if stack in failures and stack is not Stack.CPU:
                    found[stack] = _Found(Outcome.FAILED, failures[stack])
                else:
                    chosen = stack
    assert chosen is not None  # noqa: S101  # the CPU is always good
    return Choice(
        chosen,
        found[chosen].cards,
        tuple(Step(stack, look.outcome, look.reason) for stack, look in found.items()),
        wanted,
        _notice(found, chosen, wanted),
    )


def _look(
    stack: Stack,
    cards: Sequence[PciCard],
    available: Available,
    table: Table,
    wanted: Stack | None,
) -> _Found:
    """What the stack would be chosen for, or what stands in its way."""
    if stack is Stack.CPU:
        return _Found(Outcome.CHOSEN, "it needs no driver")
    candidates = [
        (card, family) for card in cards if (family := table.family_of(card)).drivers(stack)
    ]
    obstacles: list[_Found] = []
    good: list[PciCard] = []
    for card, family in candidates:
        obstacle = next(_obstacles(stack, card, family, available, table), None)
        if obstacle is None:
            good.append(card)
        else:
            reason = f"{card.slot} ({family.label}): {obstacle.reason}"
            obstacles.append(_Found(obstacle.outcome, reason))
    if good:
        reason = "; ".join(_praise(card, table.family_of(card), available) for card in good)
        return _Found(Outcome.CHOSEN, reason, tuple(good))
    if stack is wanted is Stack.VULKAN and _has_software(available):
        return _Found(Outcome.CHOSEN, "no card can, and it was asked for: Mesa's, on the CPU")
    if not obstacles:
        return _Found(Outcome.UNFIT, _no_card(cards, table))
    missing = any(obstacle.outcome is Outcome.MISSING for obstacle in obstacles)
    reason = "; ".join(obstacle.reason for obstacle in obstacles)
    return _Found(Outcome.MISSING if missing else Outcome.UNFIT, reason)


def _obstacles(
    stack: Stack, card: PciCard, family: Family, available: Available, table: Table
) -> Iterator[_Found]:
    """What stands in the way of a card that could use the stack, what is most basic first."""
    if not table.has_code(stack, family):
        yield _Found(
            Outcome.UNFIT, f"the back end of {stack.label} has no code for {family.target}"
        )
    if stack not in available.plugins:
        yield _Found(Outcome.MISSING, f"the back end of {stack.label} is not installed")
    drivers = family.drivers(stack)
    if card.driver not in drivers:
        yield _Found(Outcome.MISSING, _no_driver(card, family, drivers, available))
    if stack is Stack.CUDA and not available.libcuda:
        yield _Found(Outcome.MISSING, "libcuda.so.1 is not installed")
    if stack is Stack.ROCM and not available.kfd:
        yield _Found(Outcome.MISSING, "there is no /dev/kfd")
    icd = ICD_OF.get(card.driver or "")
    if stack is Stack.VULKAN and icd not in available.icds:
        yield _Found(Outcome.MISSING, f"the Vulkan driver {icd} is not installed")
    # NVIDIA's libraries compute through /dev/nvidia*.
    if card.driver != "nvidia" and card.render_node is None:
        yield _Found(Outcome.MISSING, f"{card.driver} offers no render node")


def _no_driver(card: PciCard, family: Family, drivers: Sequence[str], available: Available) -> str:
    if "nvidia" in drivers and (why := misfit(family, available.nvidia)):
        return f"{why} (it is with {card.driver})" if card.driver else why
    if card.driver:
        return f"it is with the kernel driver {card.driver}, not with {' or '.join(drivers)}"
    if "nvidia" not in drivers and not available.modules.intersection(drivers):
        return f"the image has no kernel module {' or '.join(drivers)}"
    return f"the kernel driver {' or '.join(drivers)} has not taken it"


def _praise(card: PciCard, family: Family, available: Available) -> str:
    version = f" {available.nvidia.version}" if card.driver == "nvidia" and available.nvidia else ""
    return f"{card.slot} ({family.label}) is with the kernel driver {card.driver}{version}"


def _no_card(cards: Sequence[PciCard], table: Table) -> str:
    if not cards:
        return "there is no graphics or AI processor"
    why = [
        f"{card.slot} ({family.label}): {family.why}"
        for card in cards
        if (family := table.family_of(card)).why
    ]
    return "; ".join(why) or "no card here can use it"


def _has_software(available: Available) -> bool:
    return Stack.VULKAN in available.plugins and SOFTWARE_ICD in available.icds


def _notice(found: Mapping[Stack, _Found], chosen: Stack, wanted: Stack | None) -> str:
    failed = [stack for stack, look in found.items() if look.outcome is Outcome.FAILED]
    if failed:
        what = "; ".join(f"{stack.label} failed ({found[stack].reason})" for stack in failed)
        return f"{what}: the model runs with {chosen.label} until the next start."
    if wanted is not None and wanted is not chosen:
        why = found[wanted].reason
        return f"llmos.stack={wanted} cannot be had ({why}): the model runs with {chosen.label}."
    return ""
