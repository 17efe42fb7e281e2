"""Says in one sentence what a command does, from the same rules that judge it."""

from typing import Final

from llmos_shell.policy import Part, Verdict

MOST: Final = 4
"""Parts that are named; a longer pipeline is summed up."""

MOST_NAMES: Final = 3
"""Files that are named."""


def explain(verdict: Verdict) -> str:
    """Return a sentence on what the judged line does; "" when nothing is known."""
    phrases = list(dict.fromkeys(_phrase(part) for part in verdict.parts if part.does))
    unknown = list(dict.fromkeys(p.name for p in verdict.parts if p.name and not p.does))
    if unknown:
        phrases.append(f"runs {', '.join(unknown)}")
    if not phrases:
        return ""
    if len(phrases) > MOST:
        phrases = [*phrases[: MOST - 1], f"and {len(phrases) - MOST + 1} more things"]
    text = ", ".join(phrases)
    return text[:1].upper() + text[1:] + "."


def _phrase(part: Part) -> str:
    if not part.touches:
        return part.does
    shown = ", ".join(part.touches[:MOST_NAMES])
    more = len(part.touches) - MOST_NAMES
    return f"{part.does}: {shown}" + (f" and {more} more" if more > 0 else "")


def because(verdict: Verdict) -> str:
    """Return why the risk is what it is, where the command alone does not show it."""
    return "; ".join(verdict.reasons)
