"""What ``llmosctl update`` says: for a person in sentences, for a program in JSON."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from llmos_ctl.update.candidates import Candidate
from llmos_ctl.update.definitions import SYSTEM
from llmos_ctl.update.standing import Installed, Standing, State

STANDINGS: Final = {
    Standing.PROVEN: "has worked",
    Standing.ON_TRIAL: "on trial",
    Standing.FAILED: "did not work",
    Standing.NO_KERNEL: "cannot start: it has no kernel image in the boot menu",
    Standing.UNKNOWN: "only root may see how it stands",
}


def check_lines(state: State, found: Sequence[Candidate]) -> Iterator[str]:
    """A line for each component, and where all that was found."""
    width = max((len(one.component) for one in found), default=0)
    for one in sorted(found, key=lambda one: one.component != SYSTEM):
        yield f"{one.component:<{width}}  {_check(one, state)}"
    for source in sorted({one.offer.source for one in found}):
        signers = {str(one.offer.signer) for one in found if one.offer.signer}
        by = f"signed by {', '.join(sorted(signers))}" if signers else "not checked for a signature"
        yield f"Published at {source}, {by}."


def _check(one: Candidate, state: State) -> str:
    if one.component == SYSTEM and state.failed and one.newest == state.failed.version:
        return f"{state.running.version} runs; {one.newest} was tried and did not work"
    there = f"{state.running.version} runs" if one.component == SYSTEM else _there(one)
    if one.newest is None:
        return f"{there}; nothing is published"
    if not one.is_newer:
        waits = one.component == SYSTEM and state.newest != state.running.version
        return f"{there}; {state.newest} is installed, see: status" if waits else f"{there}, newest"
    name = "" if one.installed else f" {one.component}"
    return f"{there}; {one.newest} is there: sudo llmosctl update apply{name}"


def _there(one: Candidate) -> str:
    return f"{one.installed} is installed" if one.installed else "not installed apart"


def check_json(state: State, found: Sequence[Candidate]) -> dict[str, Any]:
    """What :func:`check_lines` says."""
    return {
        "running": state.running.version,
        "components": [
            {
                "name": one.component,
                "installed": one.installed,
                "published": list(one.offer.versions),
                "candidate": one.newest if one.is_newer else None,
                "source": one.offer.source,
                "signed_by": one.offer.signer.name if one.offer.signer else None,
                "fingerprint": one.offer.signer.fingerprint if one.offer.signer else None,
            }
            for one in found
        ],
    }


def nothing_newer(found: Candidate, state: State) -> str:
    """Why a component is left as it is."""
    if found.component == SYSTEM and state.failed and found.newest == state.failed.version:
        return (
            f"system: {found.newest} was tried and did not work here; "
            "--retry tries it again, or wait for the next one"
        )
    if found.installed is None:
        return f"{found.component}: not installed apart; name it to install it"
    return f"{found.component}: {found.installed} is installed, and nothing newer is published"


def installed(found: Candidate) -> str:
    """What a model or an extension that was installed means."""
    return f"{found.component}: {found.newest} is installed; it is used from the next start on"


ONE_SLOT = "This disk is too small for a second version: the system cannot be updated on it."


def next_start(version: str, state: State) -> str:
    """What will happen now that a system is installed."""
    return (
        f"At the next start {version} runs. If it cannot answer a prompt in three starts, "
        f"{state.running.version} comes back by itself."
    )


def status_lines(state: State, *, is_root: bool) -> Iterator[str]:
    """The slots, what starts next, and why an update was taken back."""
    running = state.running.version
    width = max((len(one.version) for one in state.installed), default=0)
    for one in state.installed:
        yield f"{one.slot}  {one.version:<{width}}  {_stands(one)}"
    if state.free_slots:
        yield "The other place is free for an update."
    elif not state.has_room:
        yield ONE_SLOT
    following = next((one.version for one in state.installed if one.is_next), None)
    if following is not None:
        yield f"At the next start {following} runs."
    if state.failed is not None:
        yield f"{state.failed.version} was left for {running}: {state.failed.reason}."
    if not is_root:
        yield "More of it with: sudo llmosctl update status"


def _stands(one: Installed) -> str:
    text = STANDINGS[one.standing]
    tries = one.entry.image.tries if one.entry else None
    if tries is not None:
        text += f": {tries.done} of {tries.done + tries.left} tries are used"
    return f"runs, {text}" if one.runs else text


def status_json(state: State) -> dict[str, Any]:
    """What :func:`status_lines` says."""
    return {
        "running": state.running.version,
        "next": next((one.version for one in state.installed if one.is_next), None),
        "free_slots": state.free_slots,
        "installed": [_json(one) for one in state.installed],
        "failed": {"version": state.failed.version, "reason": state.failed.reason}
        if state.failed
        else None,
    }


def _json(one: Installed) -> dict[str, Any]:
    tries = one.entry.image.tries if one.entry else None
    return {
        "slot": one.slot,
        "version": one.version,
        "runs": one.runs,
        "standing": one.standing.value,
        "tries_left": tries.left if tries else None,
        "tries_done": tries.done if tries else None,
    }
