"""The words that the model knows, and those among them that may be names.

The list goes into the GGUF as ``llmos.plan.words`` and from there to
:func:`llmos_shell.literals.encode`. A word marked with ``+`` reaches the model both as a slot
and as itself, because people use it as a name as well ("search for error", "is nginx running").
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.grammar import Grammar


def _lists(path: Path) -> dict[str, tuple[str, ...]]:
    """Read lists of words in one string, or of phrases in an array."""
    found = tomllib.loads(path.read_text())
    return {
        name: tuple(words.split() if isinstance(words, str) else words)
        for name, words in found.items()
    }


LISTS = _lists(Path(__file__).with_name("names.toml"))


@cache
def nameable() -> frozenset[str]:
    """Return the known words that are given as slot and as word."""
    return frozenset().union(
        *(LISTS[name] for name in ("services", "apps", "folders", "texts", "also_names"))
    )


def known_words(grammar: Grammar, spoken: frozenset[str]) -> frozenset[str]:
    """Return the word list of a model: the grammar's words and those of the polite frames."""
    words = {word for word in grammar.words() | spoken if re.fullmatch(r"[a-z]+('[a-z]+)*", word)}
    return frozenset(
        {f"{word}+" for word in nameable()} | {word for word in words if word not in nameable()}
    )
