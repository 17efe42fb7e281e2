"""A small reading of GBNF, to look at grammars without llama.cpp.

Knows what llmos_engine writes: literals, classes, groups, alternatives, repetitions.
Described in grammars/README.md of llama.cpp.
"""

import random
import re
from dataclasses import dataclass, field

TOKEN = re.compile(
    r'\s*("(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|[a-z][a-z0-9-]*|\{\d+(?:,\d*)?\}|[|()*+?])',
    re.DOTALL,
)
ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
NAMED = {"n": "\n", "t": "\t", "r": "\r"}
MANY = 6
"""How often a repetition without an end is written at most."""


def _unescape(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 3 else NAMED.get(code, code)

    return ESCAPE.sub(one, text)


@dataclass(frozen=True)
class Literal:
    text: str


@dataclass(frozen=True)
class Class:
    negated: bool
    ranges: tuple[tuple[str, str], ...]

    def has(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) != self.negated


@dataclass(frozen=True)
class Ref:
    name: str


@dataclass(frozen=True)
class Repeat:
    item: "Node"
    least: int
    most: int | None


@dataclass(frozen=True)
class Alternatives:
    choices: tuple[tuple["Node", ...], ...]


Node = Literal | Class | Ref | Repeat | Alternatives


@dataclass
class Grammar:
    rules: dict[str, Alternatives]
    _ends: dict[tuple[Node, int], frozenset[int]] = field(default_factory=dict)
    _text: str = ""

    @classmethod
    def parse(cls, source: str) -> "Grammar":
        rules = {}
        for line in source.strip().splitlines():
            name, _, body = line.partition(" ::= ")
            tokens, at = [], 0
            while at < len(body.rstrip()):
                match = TOKEN.match(body, at)
                assert match, f"cannot read {body[at:]!r} in {line!r}"
                tokens.append(match[1])
                at = match.end()
            rules[name] = _alternatives(tokens)
            assert not tokens, f"left over in {name}: {tokens}"
        return cls(rules)

    def accepts(self, text: str) -> bool:
        self._ends, self._text = {}, text
        return len(text) in self._node(Ref("root"), 0)

    def _node(self, node: Node, at: int) -> frozenset[int]:
        key = (node, at)
        if key not in self._ends:
            self._ends[key] = frozenset(self._match(node, at))
        return self._ends[key]

    def _match(self, node: Node, at: int) -> set[int]:
        match node:
            case Literal(text):
                return {at + len(text)} if self._text.startswith(text, at) else set()
            case Class():
                return {at + 1} if at < len(self._text) and node.has(self._text[at]) else set()
            case Ref(name):
                return set(self._node(self.rules[name], at))
            case Alternatives(choices):
                return {end for choice in choices for end in self._sequence(choice, at)}
            case Repeat(item, least, most):
                return self._repeat(item, least, most, at)

    def _sequence(self, nodes: tuple[Node, ...], at: int) -> set[int]:
        ends = {at}
        for node in nodes:
            ends = {end for begin in ends for end in self._node(node, begin)}
        return ends

    def _repeat(self, item: Node, least: int, most: int | None, at: int) -> set[int]:
        found: set[int] = set()
        now, count = {at}, 0
        while now and (most is None or count <= most):
            if count >= least:
                if now <= found:
                    break
                found |= now
            now = {end for begin in now for end in self._node(item, begin)}
            count += 1
        return found

    def sentence(self, rng: random.Random) -> str:
        """Return a random text of the grammar; raises RecursionError when it never ends."""
        return self._write(Ref("root"), rng)

    def _write(self, node: Node, rng: random.Random) -> str:
        match node:
            case Literal(text):
                return text
            case Class(negated, ranges):
                if negated:
                    return next(
                        c for c in iter(lambda: chr(rng.randrange(0x20, 0x2000)), "") if node.has(c)
                    )
                low, high = rng.choice(ranges)
                return chr(rng.randint(ord(low), ord(high)))
            case Ref(name):
                return self._write(self.rules[name], rng)
            case Alternatives(choices):
                return "".join(self._write(part, rng) for part in rng.choice(choices))
            case Repeat(item, least, most):
                count = rng.randint(
                    least, least + MANY if most is None else min(most, least + MANY)
                )
                return "".join(self._write(item, rng) for _ in range(count))


def _alternatives(tokens: list[str]) -> Alternatives:
    choices: list[tuple[Node, ...]] = []
    sequence: list[Node] = []
    while tokens and tokens[0] != ")":
        unit = tokens.pop(0)
        if unit == "|":
            choices.append(tuple(sequence))
            sequence = []
        elif unit in "*+?" or unit[0] == "{":
            sequence.append(Repeat(sequence.pop(), *_times(unit)))
        elif unit == "(":
            sequence.append(_alternatives(tokens))
            assert tokens.pop(0) == ")"
        elif unit[0] == '"':
            sequence.append(Literal(_unescape(unit[1:-1])))
        elif unit[0] == "[":
            sequence.append(_class(unit[1:-1]))
        else:
            sequence.append(Ref(unit))
    return Alternatives((*choices, tuple(sequence)))


def _times(token: str) -> tuple[int, int | None]:
    simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
    if token in simple:
        return simple[token]
    least, comma, most = token[1:-1].partition(",")
    return int(least), int(most) if most else (None if comma else int(least))


def _class(body: str) -> Class:
    negated = body.startswith("^")
    units = re.findall(r"\\x[0-9A-Fa-f]{2}|\\.|.", body.removeprefix("^"), re.DOTALL)
    chars = [_unescape(unit) for unit in units]
    ranges, at = [], 0
    while at < len(chars):
        if at + 2 < len(chars) and units[at + 1] == "-":
            ranges.append((chars[at], chars[at + 2]))
            at += 3
        else:
            ranges.append((chars[at], chars[at]))
            at += 1
    return Class(negated, tuple(ranges))
