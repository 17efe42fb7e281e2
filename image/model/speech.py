"""The ways in which people wrap, shorten and misspell a request."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

_LISTS = tomllib.loads(Path(__file__).with_name("speech.toml").read_text())
_BEFORE_ORDERS: list[str] = _LISTS["before_orders"]
_BEFORE_ANYTHING: list[str] = _LISTS["before_anything"]
_AFTER_ANYTHING: list[str] = _LISTS["after_anything"]
_NEGATIONS: list[str] = _LISTS["negations"]
_MUSINGS: list[str] = _LISTS["musings"]
_DROPPED: frozenset[str] = frozenset(_LISTS["dropped"])
_CONFUSED: dict[str, str] = _LISTS["confused"]
_KEYS: dict[str, str] = _LISTS["keys"]


def spoken_words() -> frozenset[str]:
    """Return every word that a wrapped request may hold besides the grammar's own."""
    wraps = (*_BEFORE_ORDERS, *_BEFORE_ANYTHING, *_AFTER_ANYTHING, *_NEGATIONS, *_MUSINGS)
    return frozenset(word for wrap in wraps for word in wrap.split()) | {*_LISTS["misspelled"]}


def wrap(parts: list[str], rng: random.Random, *, is_order: bool) -> list[str]:
    """Put a polite beginning or end around a request, most of the time none."""
    out = list(parts)
    if is_order and rng.random() < 0.42:
        out = [*rng.choice(_BEFORE_ORDERS).split(), *out]
    if rng.random() < (0.08 if is_order else 0.12):
        out = [*rng.choice(_BEFORE_ANYTHING).split(), *out]
    if rng.random() < 0.12:
        out = [*out, *rng.choice(_AFTER_ANYTHING).split()]
    return out


def negate(parts: list[str], rng: random.Random) -> list[str]:
    """Turn an order into one not to do it, or into musing about it."""
    before = rng.choice(_NEGATIONS if rng.random() < 0.75 else _MUSINGS)
    out = [*before.split(), *parts]
    return [*out, "please"] if rng.random() < 0.1 else out


def shorten(parts: list[str], rng: random.Random) -> list[str]:
    """Leave out small words, as terse and non-native writers do."""
    if rng.random() > 0.15:
        return parts
    chance = rng.choice([0.4, 0.7, 1.0])
    kept = [part for part in parts if part not in _DROPPED or rng.random() > chance]
    return kept or parts


def misspell(parts: list[str], rng: random.Random) -> list[str]:
    """Make one or two typing errors in words of the phrase, never in a literal."""
    draw = rng.random()
    if draw > 0.14:
        return parts
    out = list(parts)
    if draw < 0.05:
        return [_CONFUSED.get(part, part) for part in out]
    places = [index for index, part in enumerate(out) if len(part) > 3 and part.isalpha()]
    for index in rng.sample(places, min(len(places), rng.choice([1, 1, 1, 2]))):
        out[index] = _typing_error(out[index], rng)
    return out


def _typing_error(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word))
    kind = rng.choice(["leave", "double", "swap", "near"])
    if kind == "leave":
        return word[:at] + word[at + 1 :]
    if kind == "double":
        return word[:at] + word[at] + word[at:]
    if kind == "swap":
        return word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :]
    return word[:at] + rng.choice(_KEYS.get(word[at], "e")) + word[at + 1 :]


def write(text: str, rng: random.Random, *, asks: bool) -> str:
    """Give a request its capitals and its punctuation."""
    draw = rng.random()
    if draw < 0.45:
        text = text[:1].upper() + text[1:]
    ending = rng.random()
    if asks and ending < 0.45:
        text += rng.choice(["?", "?", "?", " ?", "??"])
    elif ending < 0.15:
        text += rng.choice([".", ".", "!", "..."])
    return text
