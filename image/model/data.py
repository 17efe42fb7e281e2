"""The training data: requests as people write them, and the answers in slots.

Everything is drawn from one seeded generator, so the same seed gives the same data everywhere.
The request goes through :func:`llmos_shell.literals.encode` just as it does in the product.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from llmos_shell.literals import Slotted, encode
from model import grammar as grammars
from model import names, speech
from model.intents import INTENTS, LOWERED_ROLES, Form
from model.vocabulary import known_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model.grammar import Grammar, Phrase

# Which role of a command a literal of a phrase may fill, in the order of preference.
_FILLS = {
    "app": ("process",),
    "dir": ("path",),
    "dir1": ("path",),
    "dir2": ("path",),
    "dirname": ("path",),
    "dirpath": ("path",),
    "dirslash": ("path",),
    "dotext": ("ext",),
    "dstname": ("dst",),
    "exts": ("ext",),
    "file": ("path",),
    "filepath": ("path",),
    "glob": ("glob", "src", "path"),
    "name": ("name", "path"),
    "newdir": ("path",),
    "newdirname": ("path",),
    "newdirpath": ("path",),
    "newfile": ("path",),
    "newname": ("path",),
}
# These commands mean the current folder when they are given none.
_BARE_HERE = frozenset(["list", "list_hidden", "list_newest", "list_largest"])
_NEGATABLE = tuple(name for name in INTENTS if name != "none")
_QUESTION_WORDS = """what how which who where when why is are do does did can could would will may
whats what's am has have"""
_QUESTIONS = frozenset(_QUESTION_WORDS.split())
_NAMED_WORDS = """file files folder folders directory directories dir dirs service services daemon
unit package packages program process processes document documents script in at under of for to"""
_NAMED = frozenset(_NAMED_WORDS.split())
_NEGATED_SHARE = 0.22
_STRANGE_WORD_CHANCE = 0.05


@dataclass(frozen=True)
class Example:
    """A request, what the model sees of it, and the answer it should give."""

    request: str
    intent: str
    slotted: Slotted
    command: str
    say: str

    @property
    def answer(self) -> str:
        """The plan as the model writes it."""
        return plan_text(self.say, self.command)


def plan_text(say: str, command: str) -> str:
    """Write the plan envelope."""
    return json.dumps({"say": say, "command": command}, ensure_ascii=False)


@dataclass
class Generator:
    """Draws examples; two generators with one seed draw the same ones."""

    seed: int
    grammar: Grammar = field(default_factory=grammars.load)
    excluded: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)  # noqa: S311 (reproducible, not secret)

    @cached_property
    def words(self) -> frozenset[str]:
        """The word list of the model."""
        return known_words(self.grammar, speech.spoken_words())

    def examples(self) -> Iterator[Example]:
        """Draw examples without end."""
        shares = self._shares()
        intents, weights = tuple(shares), tuple(shares.values())
        while True:
            example = self.example(self._rng.choices(intents, weights)[0])
            if example is not None:
                yield example

    def _shares(self) -> dict[str, float]:
        """Return how often each intent is drawn: by the variety of its phrases, none most."""
        shares = dict.fromkeys(INTENTS, 1.0)
        shares["none"] = 0.18 * len(shares)
        return shares

    def example(self, intent: str) -> Example | None:
        """Draw an example of one intent, or None when the draw cannot be answered."""
        rng = self._rng
        if intent == "none" and rng.random() < _NEGATED_SHARE:
            phrase = self._order()
            parts = speech.negate(phrase.parts, rng)
        else:
            phrase = self.grammar.sample(intent, rng)
            parts = speech.wrap(phrase.parts, rng, is_order=phrase.is_order)
        return self._written(intent, phrase, parts)

    def _order(self) -> Phrase:
        while True:
            phrase = self.grammar.sample(self._rng.choice(_NEGATABLE), self._rng)
            if phrase.is_order:
                return phrase

    def _written(self, intent: str, phrase: Phrase, parts: list[str]) -> Example | None:
        rng = self._rng
        parts = speech.misspell(speech.shorten(parts, rng), rng)
        parts = self._estranged(parts, intent, phrase.values)
        given: dict[str, names.Name] = {}
        for index, part in enumerate(parts):
            if part.startswith("{"):
                role = part[1:-1]
                given[role] = names.invent(role, rng)
                parts[index] = given[role].typed
        asks = parts[0] in _QUESTIONS
        text = re.sub(r" (?=[,:]|'s\b)", "", " ".join(parts))
        request = speech.write(text, rng, asks=asks)
        if normal(request) in self.excluded:
            return None
        slotted = encode(request, self.words)
        return self._answered(intent, request, slotted, given, phrase.values)

    def _estranged(self, parts: list[str], intent: str, values: dict[str, str]) -> list[str]:
        """Put in, or for "none" put in place of others, words that the model does not know.

        A strange word beside "folder" or "service", or where the place is already said, would be
        a name: none is put there.
        """
        rng = self._rng
        out = list(parts)
        if intent == "none" and rng.random() < 0.25:
            for index in rng.sample(range(len(out)), min(len(out), rng.randint(1, 3))):
                out[index] = names.word(rng).lower() if len(out[index]) > 3 else out[index]
        elif len(out) > 3 and not values and rng.random() < _STRANGE_WORD_CHANCE:
            at = rng.randrange(1, len(out))
            if not _NAMED & set(out[at - 1 : at + 1]):
                out.insert(at, names.word(rng).lower())
        return out

    def _answered(
        self,
        intent: str,
        request: str,
        slotted: Slotted,
        given: dict[str, names.Name],
        values: dict[str, str],
    ) -> Example | None:
        roles = {role for form in INTENTS[intent].forms for role in form.roles}
        filled = dict(values)
        if filled.get("path") == "." and intent in _BARE_HERE:
            del filled["path"]
        for role, name in given.items():
            target = next((one for one in _FILLS.get(role, (role,)) if one in roles), None)
            if target is None:
                continue
            slot = slot_for(name.value, slotted, lowered=target in LOWERED_ROLES)
            if slot is None:
                return None
            filled[target] = slot
        form = INTENTS[intent].form_for(frozenset(filled))
        if form is None or not _uses_all(form, filled):
            return None
        # Typing errors may leave no word that says what is asked for.
        if intent != "none" and not re.search(r"(^| )[a-z]", slotted.text):
            return None
        return Example(request, intent, slotted, form.filled(filled), form.say)


def _uses_all(form: Form, filled: dict[str, str]) -> bool:
    """Whether no literal that fills a role of the intent is left out of the command."""
    return all(role in form.roles for role, value in filled.items() if value.startswith("<"))


def slot_for(value: str, slotted: Slotted, *, lowered: bool = False) -> str | None:
    """Return the slot that stands for a value, or None when the request has none."""
    for name, literal in slotted.literals.items():
        if literal.value == value or (lowered and literal.lowered().value == value.lower()):
            lower = ":lower" if lowered and name.startswith("str") else ""
            return f"<{name}{lower}>"
    return None


def normal(request: str) -> str:
    """Return a request without case, punctuation and spacing, to compare phrasings."""
    return " ".join(re.findall(r"[\w./~*-]+", request.lower()))
