"""Grammars of phrasings: small text files that stand for very many requests.

A pattern is a line of words with

- ``(a|b|c)``: one of these; an empty alternative may be left out altogether;
- ``[a|b]``: one of these or nothing;
- ``@name``: a class, defined by ``@name = (…)`` in any of the files;
- ``{role}``: a literal that the data generator invents;
- ``<key=value>``: words that carry a value for the command ("in my home" carries ``path=~``).

Patterns stand under a heading ``= intent``. A leading ``!`` marks an order, before which a
polite beginning may stand. ``#`` begins a comment line; indented lines continue the line above.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator

FOLDER = Path(__file__).parent / "grammar"

_TOKEN = re.compile(r"\(|\)|\[|\]|\||@\w+|\{\w+\}|<\w+=[^>]*>|[^\s()\[\]|@{}<]+|\S")


class GrammarError(ValueError):
    """A pattern that does not parse, with the place where it stands."""


@dataclass
class Phrase:
    """A sampled request: words and roles in order, and the values that the words carry."""

    parts: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    is_order: bool = False


@dataclass(frozen=True)
class Word:
    """A plain word."""

    text: str


@dataclass(frozen=True)
class Role:
    """The place of a literal."""

    name: str


@dataclass(frozen=True)
class Tag:
    """A value that the words around it carry."""

    key: str
    value: str


@dataclass(frozen=True)
class Class:
    """A reference to a class."""

    name: str


@dataclass(frozen=True)
class Choice:
    """Alternatives, each a sequence of nodes."""

    options: tuple[tuple[Node, ...], ...]


Node = Word | Role | Tag | Class | Choice


@dataclass(frozen=True)
class Pattern:
    """One line of a grammar."""

    nodes: tuple[Node, ...]
    is_order: bool


@dataclass(frozen=True)
class Grammar:
    """All patterns by intent, and the classes that they use."""

    patterns: dict[str, tuple[Pattern, ...]]
    classes: dict[str, Choice]

    def sample(self, intent: str, rng: random.Random) -> Phrase:
        """Draw a phrase of an intent; patterns with more expansions are drawn more often."""
        patterns, weights = self._weighted[intent]
        pattern = rng.choices(patterns, weights)[0]
        phrase = Phrase(is_order=pattern.is_order)
        self._draw(pattern.nodes, rng, phrase)
        return phrase

    def words(self) -> frozenset[str]:
        """Return every plain word that a phrase of this grammar may hold."""
        found: set[str] = set()
        for nodes in self._all_sequences():
            found.update(node.text for node in nodes if isinstance(node, Word))
        return frozenset(found)

    def tags(self) -> frozenset[tuple[str, str]]:
        """Return every key and value that words may carry."""
        found: set[tuple[str, str]] = set()
        for nodes in self._all_sequences():
            found.update((node.key, node.value) for node in nodes if isinstance(node, Tag))
        return frozenset(found)

    @cached_property
    def _weighted(self) -> dict[str, tuple[tuple[Pattern, ...], list[float]]]:
        # The logarithm keeps patterns with few expansions from drowning.
        return {
            intent: (patterns, [1 + math.log2(self.expansions(one.nodes)) for one in patterns])
            for intent, patterns in self.patterns.items()
        }

    def expansions(self, nodes: Iterable[Node]) -> int:
        """Return how many ways there are to expand a sequence."""
        return math.prod(self._options_of(node) for node in nodes)

    def _options_of(self, node: Node) -> int:
        match node:
            case Class(name):
                return self._options_of(self.classes[name])
            case Choice(options):
                return sum(self.expansions(option) for option in options)
            case _:
                return 1

    def _draw(self, nodes: Iterable[Node], rng: random.Random, phrase: Phrase) -> None:
        for node in nodes:
            match node:
                case Word(text):
                    phrase.parts.append(text)
                case Role(name):
                    phrase.parts.append(f"{{{name}}}")
                case Tag(key, value):
                    phrase.values[key] = value
                case Class(name):
                    self._draw(rng.choice(self.classes[name].options), rng, phrase)
                case Choice(options):
                    self._draw(rng.choice(options), rng, phrase)

    def _all_sequences(self) -> Iterator[tuple[Node, ...]]:
        pending = [pattern.nodes for patterns in self.patterns.values() for pattern in patterns]
        pending.extend(option for choice in self.classes.values() for option in choice.options)
        while pending:
            nodes = pending.pop()
            yield nodes
            for node in nodes:
                if isinstance(node, Choice):
                    pending.extend(node.options)


def parse(text: str, where: str = "pattern") -> tuple[Node, ...]:
    """Parse one pattern."""
    tokens = _TOKEN.findall(text)
    nodes, rest = _sequence(tokens, where)
    if rest:
        message = f"{where}: unexpected '{rest[0]}' in: {text}"
        raise GrammarError(message)
    return nodes


def _sequence(tokens: list[str], where: str) -> tuple[tuple[Node, ...], list[str]]:
    nodes: list[Node] = []
    while tokens and tokens[0] not in {")", "]", "|"}:
        token, *tokens = tokens
        if token in {"(", "["}:
            choice, tokens = _choice(token, tokens, where)
            nodes.append(choice)
        elif token[0] == "@":
            nodes.append(Class(token[1:]))
        elif token[0] == "{":
            nodes.append(Role(token[1:-1]))
        elif token[0] == "<":
            key, _, value = token[1:-1].partition("=")
            nodes.append(Tag(key, value))
        else:
            nodes.append(Word(token))
    return tuple(nodes), tokens


def _choice(opening: str, tokens: list[str], where: str) -> tuple[Choice, list[str]]:
    options: list[tuple[Node, ...]] = []
    closing = ")" if opening == "(" else "]"
    while True:
        option, tokens = _sequence(tokens, where)
        options.append(option)
        if not tokens:
            message = f"{where}: '{opening}' is never closed"
            raise GrammarError(message)
        separator, *tokens = tokens
        if separator == "|":
            continue
        if separator != closing:
            message = f"{where}: '{opening}' is closed by '{separator}'"
            raise GrammarError(message)
        break
    if opening == "[":
        # An optional part is left out half of the time, however many ways there are to say it.
        return Choice(((Choice(tuple(options)),), ())), tokens
    return Choice(tuple(options)), tokens


def load(folder: Path = FOLDER) -> Grammar:
    """Read every grammar file of a folder."""
    patterns: dict[str, list[Pattern]] = {}
    classes: dict[str, Choice] = {}
    for path in sorted(folder.glob("*.txt")):
        intent = ""
        for number, line in _logical_lines(path):
            where = f"{path.name}:{number}"
            heading = re.fullmatch(r"= (\w+)", line)
            definition = re.fullmatch(r"@(\w+) =\s*(.*)", line)
            if heading is not None:
                intent = heading[1]
                patterns.setdefault(intent, [])
            elif definition is not None:
                classes[definition[1]] = Choice((parse(definition[2], where),))
            elif not intent:
                message = f"{where}: a pattern stands before the first heading '= intent'"
                raise GrammarError(message)
            else:
                order = line.startswith("!")
                nodes = parse(line.removeprefix("!"), where)
                patterns[intent].append(Pattern(nodes, is_order=order))
    grammar = Grammar({name: tuple(found) for name, found in patterns.items()}, classes)
    _check_classes(grammar)
    return grammar


def _logical_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with their numbers, continuation lines joined."""
    start, joined = 0, ""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if line.startswith("#"):
            continue
        if line.startswith((" ", "\t")) and line.strip():
            joined += f" {line.strip()}"
            continue
        if joined:
            yield start, joined
        start, joined = number, line.strip()
    if joined:
        yield start, joined


def _check_classes(grammar: Grammar) -> None:
    for nodes in grammar._all_sequences():  # noqa: SLF001 (the loader completes the grammar)
        for node in nodes:
            if isinstance(node, Class) and node.name not in grammar.classes:
                message = f"@{node.name} is used but never defined"
                raise GrammarError(message)
