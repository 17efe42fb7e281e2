"""What can be installed: everything that is published, held against what is there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmos_ctl.errors import UsageError
from llmos_ctl.update import versions
from llmos_ctl.update.definitions import SYSTEM
from llmos_ctl.update.standing import State
from llmos_ctl.update.sysupdate import Offer, Sysupdate
from llmos_ctl.update.world import World


@dataclass(frozen=True)
class Candidate:
    """One component: what is there, and what is published."""

    component: str
    installed: str | None
    """The newest version that is there; None for what the image itself brings, or nothing."""

    offer: Offer

    @property
    def newest(self) -> str | None:
        """The newest version that is published."""
        return max(self.offer.versions, key=versions.key, default=None)

    @property
    def is_newer(self) -> bool:
        """Whether installing it would bring something newer."""
        if self.newest is None:
            return False
        return self.installed is None or versions.is_newer(self.newest, than=self.installed)


def candidates(
    world: World, state: State, updater: Sysupdate, names: Iterable[str] = ()
) -> Sequence[Candidate]:
    """The components called ``names``, or all of them; the system comes last.

    An extension has to be there before the system of its version starts.

    Raises:
        CtlError: what is published cannot be read.
        UsageError: there is no component of that name.
    """
    known = world.definitions.components()
    if unknown := sorted(set(names) - set(known)):
        raise UsageError(
            f"{unknown[0]}: nothing of that name is updated here (one of: {', '.join(known)})"
        )
    wanted = [name for name in known if name in set(names)] if names else known
    return [
        Candidate(name, _installed(name, state, updater), updater.offer(name))
        for name in sorted(wanted, key=lambda name: name == SYSTEM)
    ]


def _installed(name: str, state: State, updater: Sysupdate) -> str | None:
    if name == SYSTEM:
        return state.newest
    return max(updater.installed(name), key=versions.key, default=None)
