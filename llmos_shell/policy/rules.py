"""The table of rules: rules.toml, read once into frozen structs.

Unknown keys, unknown risks and rules for the same program are errors when the table is
read: a rule that is silently ignored would fail open.
"""

import re
import tomllib
from functools import cache, cached_property
from importlib.resources import files
from typing import Final

import msgspec
from msgspec import Struct, field

from llmos_shell.policy.places import Changed
from llmos_shell.policy.risk import Risk
from llmos_shell.policy.syntax import Word

TABLE: Final = "rules.toml"


class Examples(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Lines that a rule must, and must not, apply to: the tests run every one."""

    match: tuple[str, ...] = ()
    not_match: tuple[str, ...] = ()


class Raise(Examples, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What makes a command worse than its rule says. All the conditions given must hold.

    Conditions match generously: an option counts when it is abbreviated, has its value
    attached, or stands in a cluster.
    """

    risk: Risk
    because: str
    options: tuple[str, ...] = ()
    words: int = 0
    """At least so many words that are not options."""
    word: str = ""
    """A regular expression that one of the words matches from end to end."""
    unless_first_word: str = ""
    """A regular expression for the only first words that are harmless."""

    def applies(self, words: tuple[Word, ...], *, exact: bool) -> bool:
        """Whether the arguments of a command meet the conditions."""
        plain = [w.known for w in words if not w.known.startswith("-")]
        if self.options and not any(
            _is_option(word.known, option, exact=exact) for word in words for option in self.options
        ):
            return False
        if len(plain) < self.words:
            return False
        if self.word and not any(re.fullmatch(self.word, text) for text in plain):
            return False
        first = next((w for w in words if not w.known.startswith("-")), None)
        if not self.unless_first_word:
            return True
        return (
            first is None
            or first.text is None
            or not re.fullmatch(self.unless_first_word, first.text)
        )


class Lower(Examples, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What makes a command milder than its rule says. Conditions match exactly."""

    risk: Risk
    does: str = ""
    none: bool = False
    """There are no arguments."""
    first: tuple[str, ...] = ()
    """The first argument is one of these."""
    arguments: str = ""
    """A regular expression that all the arguments, joined by spaces, match."""

    def applies(self, words: tuple[Word, ...]) -> bool:
        """Whether the arguments of a command meet the conditions, all of them known."""
        texts = [word.text for word in words if word.text is not None]
        if self.none:
            return not words
        if self.first:
            return bool(words) and words[0].text in self.first
        return len(texts) == len(words) and bool(re.fullmatch(self.arguments, " ".join(texts)))


class Runs(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a program that runs another one is told which."""

    flags: tuple[str, ...] = ()
    """Its own options without a value."""
    values: tuple[str, ...] = ()
    """Its own options with a value."""
    positionals: int = 0
    """How many words of its own come before the command."""
    assignments: bool = False
    """Whether `A=b` may come before the command."""
    script: bool = False
    """Whether the command is a text for a shell, all words joined."""
    script_options: tuple[str, ...] = ()
    """Options whose value is a text for a shell (`bash -c`)."""
    after: tuple[str, ...] = ()
    """Options that begin a command in the middle (`find -exec`)…"""
    until: tuple[str, ...] = ()
    """…and the words that end it."""
    adds_words: bool = False
    """Whether it adds words to the command that nobody can know beforehand (`xargs`)."""
    least: Risk = Risk.READ_ONLY
    """What it is at least, whatever it runs."""


class Rule(Examples, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """What is known of some programs."""

    names: tuple[str, ...]
    does: str
    risk: Risk = Risk.READ_ONLY
    exact: bool = False
    """Options are whole words (`find -delete`), never clusters of letters."""
    changes: Changed = Changed.NONE
    """Which of its words name what it changes: system paths among them make it worse."""
    flags: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    """Options without and with a value that may stand before the subcommand."""
    subcommands: dict[str, tuple[str, ...]] = {}
    """Risk → subcommands; one that is not listed is UNKNOWN."""
    raises: tuple[Raise, ...] = field(default=(), name="raise")
    lowers: tuple[Lower, ...] = field(default=(), name="lower")
    runs: Runs | None = None

    @cached_property
    def by_subcommand(self) -> dict[str, Risk]:
        """Subcommand → risk."""
        return {sub: Risk(risk) for risk, subs in self.subcommands.items() for sub in subs}

    @property
    def is_plain(self) -> bool:
        """Whether no argument whatever changes the risk."""
        return not (self.raises or self.lowers or self.subcommands or self.runs)


class Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    harmless: dict[str, str]
    rule: tuple[Rule, ...]


@cache
def rules() -> dict[str, Rule]:
    """Return program → rule. Raises ValueError when the table is wrong."""
    text = files(__package__).joinpath(TABLE).read_text(encoding="utf-8")
    return read(text)


def read(text: str) -> dict[str, Rule]:
    """Read a table; raises ValueError that says where it is wrong."""
    table = msgspec.convert(tomllib.loads(text), Table)
    found: dict[str, Rule] = {}
    plain = [Rule(names=(name,), does=does) for name, does in table.harmless.items()]
    for rule in [*plain, *table.rule]:
        if bad := set(rule.subcommands) - {risk.value for risk in Risk}:
            raise ValueError(f"rule {rule.names[0]}: unknown risk {min(bad)!r}")
        for name in rule.names:
            if name in found:
                raise ValueError(f"two rules for {name!r}")
            found[name] = rule
    return found


def _is_option(text: str, option: str, *, exact: bool) -> bool:
    """Whether the argument ``text`` gives ``option``, in any of the ways of getopt."""
    if not text.startswith("-") or text == "-":
        return False
    if option.startswith("--"):
        name = text.split("=", 1)[0]
        return len(name) > 2 and option.startswith(name)
    if exact or len(option) > 2:
        return text == option
    return not text.startswith("--") and option[1] in text[1:]
