"""From a line to a verdict: parse it, judge every command in it, keep the worst."""

from dataclasses import dataclass
from typing import Final

from llmos_shell.policy import places
from llmos_shell.policy.risk import Risk
from llmos_shell.policy.rules import Rule, Runs, rules
from llmos_shell.policy.syntax import Command, Redirect, Script, Word, parse

MAX_DEPTH: Final = 6
"""How deep commands may run commands (`sudo sh -c "xargs …"`) and still be understood."""

SYSTEM_BINARIES: Final = frozenset({"/bin", "/sbin", "/usr/bin", "/usr/sbin"})

SAFE_VARIABLES: Final = frozenset({"LANG", "LANGUAGE", "TZ", "COLUMNS", "LINES", "NO_COLOR"})
"""Variables that change how a program prints and not what it runs; LC_* too."""


@dataclass(frozen=True, slots=True)
class Context:
    """Where the command would run: the policy looks at text only, never at the disk.

    ``shadowed`` are names that a function or an alias of the session takes over.
    """

    cwd: str = "/"
    home: str = "/"
    shadowed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Part:
    """One command of the line: what it does, how risky that is, and why if not obvious."""

    name: str
    does: str
    risk: Risk
    because: str = ""
    touches: tuple[str, ...] = ()
    """What it changes, as written."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a line does, part by part."""

    parts: tuple[Part, ...]
    broken: bool = False

    @property
    def risk(self) -> Risk:
        """The worst of the parts; a line with no parts does nothing."""
        return Risk.worst(*(part.risk for part in self.parts))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the risk is what it is, each reason once."""
        worst = self.risk
        return tuple(dict.fromkeys(p.because for p in self.parts if p.because and p.risk is worst))


class Policy:
    """Judges command lines by a table of rules."""

    def __init__(self, table: dict[str, Rule] | None = None) -> None:
        self._table = rules() if table is None else table

    def judge(self, line: str, context: Context) -> Verdict:
        """Return the verdict on ``line``; never raises."""
        return self._judge_script(parse(line), context, 0)

    def parse(self, line: str) -> Script:
        """Return the line's parsed form."""
        return parse(line)

    def programs(self, line: str) -> tuple[str, ...]:
        """Return the names of the commands on the line itself, as far as they are known."""
        names = (c.name.text for c in parse(line).commands if c.name is not None)
        return tuple(dict.fromkeys(name for name in names if name))

    def _judge_script(self, script: Script, context: Context, depth: int) -> Verdict:
        if depth > MAX_DEPTH:
            return Verdict((_unknown("", "commands run commands too deep down"),))
        parts = [part for c in script.commands for part in self._judge(c, context, depth)]
        parts += [_unknown("", problem) for problem in script.problems]
        return Verdict(tuple(parts), broken=script.broken)

    def _judge(self, command: Command, context: Context, depth: int) -> list[Part]:
        parts = [part for r in command.redirects if (part := _redirect(r, context))]
        parts += [
            _unknown("", f"sets {name or 'a variable'}")
            for name in command.assignments
            if not _is_safe_variable(name)
        ]
        if command.name is not None:
            parts += self._invocation(command.name, command.words, context, depth)
        return parts

    def _invocation(
        self, name: Word, words: tuple[Word, ...], context: Context, depth: int
    ) -> list[Part]:
        if name.text is None:
            return [_unknown(name.raw, "the program is decided only when it runs")]
        if name.text in context.shadowed:
            return [_unknown(name.text, f"{name.text} is a function or an alias of yours")]
        program = name.text
        folder, _, base = program.rpartition("/")
        if folder:
            if folder not in SYSTEM_BINARIES:
                return [_unknown(program, f"{program} is not a program of the system")]
            program = base
        rule = self._table.get(program)
        if rule is None:
            return [_unknown(program, f"nothing is known about {program}")]
        own = _assess(program, rule, words, context)
        if rule.runs is None:
            return [own]
        return [own, *self._runs(program, rule.runs, words, context, depth)]

    def _runs(
        self, program: str, runs: Runs, words: tuple[Word, ...], context: Context, depth: int
    ) -> list[Part]:
        """Judge the commands that a command runs."""
        if depth >= MAX_DEPTH:
            return [_unknown(program, "commands run commands too deep down")]
        if runs.after:
            parts = []
            for inner in _embedded(runs, words):
                if inner is None:
                    return [_unknown(program, "where its command ends is not clear")]
                parts += self._invocation(inner[0], inner[1:], context, depth + 1)
            return parts
        rest, problem = _own_options(runs, words)
        if problem:
            return [_unknown(program, problem)]
        if not rest:
            # Without a script of its own a shell runs what comes through the pipe.
            return [_unknown(program, "runs whatever it reads")] if runs.script_options else []
        if runs.script or runs.script_options:
            texts = [w.text for w in (rest if runs.script else rest[:1])]
            if None in texts:
                return [_unknown(program, "the script is decided only when it runs")]
            text = " ".join(t for t in texts if t is not None)
            return list(self._judge_script(parse(text), context, depth + 1).parts)
        added = (Word("what it reads", None, leads=True),) if runs.adds_words else ()
        return self._invocation(rest[0], rest[1:] + added, context, depth + 1)


def _assess(program: str, rule: Rule, words: tuple[Word, ...], context: Context) -> Part:
    """Judge a command by its own rule, without what it runs."""
    risk, does, because = rule.risk, rule.does, ""
    if rule.by_subcommand:
        risk, because = _subcommand(program, rule, words)
    for lower in rule.lowers:
        if lower.applies(words):
            risk, does = lower.risk, lower.does or does
            break
    open_word = next((w for w in words if w.leads), None)
    if open_word is not None and not rule.is_plain and not _harmless_start(open_word):
        found = _unknown(program, f"{open_word.raw} could turn out to be an option")
        risk, because = Risk.worst(risk, found.risk), found.because
    raised = [r for r in rule.raises if r.applies(words, exact=rule.exact)]
    for entry in raised:
        if entry.risk.severity > risk.severity:
            risk, because = entry.risk, entry.because
    if rule.changes.looks and risk.severity > Risk.READ_ONLY.severity:
        place = places.worst(rule.changes, words, context.cwd, context.home)
        if place is not None and place.risk.severity > risk.severity:
            risk, because = place.risk, place.because
    if rule.runs is not None:
        risk = Risk.worst(risk, rule.runs.least)
    return Part(program, does, risk, because, places.named(rule.changes, words))


def _subcommand(program: str, rule: Rule, words: tuple[Word, ...]) -> tuple[Risk, str]:
    """Find the subcommand behind the options that may come before it."""
    rest = list(words)
    while rest and rest[0].known.startswith("-"):
        option = rest.pop(0)
        if option.text in rule.values and rest:
            rest.pop(0)
        elif option.known.split("=", 1)[0] not in {*rule.flags, *rule.values}:
            return Risk.UNKNOWN, f"{program} {option.known} is not known"
    if not rest:
        return rule.risk, ""
    risk = rule.by_subcommand.get(rest[0].text or "")
    if risk is None:
        return Risk.UNKNOWN, f"{program} {rest[0].known} is not known"
    return risk, ""


def _own_options(runs: Runs, words: tuple[Word, ...]) -> tuple[tuple[Word, ...], str]:
    """Drop a wrapper's own arguments; returns what it runs, or what is not clear."""
    rest = list(words)
    positionals = runs.positionals
    while rest:
        text = rest[0].known
        if rest[0].text is None:
            return (), "what it runs is decided only when it runs"
        if text in runs.script_options:
            return tuple(rest[1:]), ""
        if text.startswith("-") and len(text) > 1:
            if problem := _drop_option(runs, rest):
                return (), problem
            if text == "--":
                break
        elif runs.assignments and "=" in text and not _is_safe_variable(text.split("=", 1)[0]):
            return (), f"sets {text.split('=', 1)[0]}"
        elif positionals > 0 or (runs.assignments and "=" in text):
            positionals -= 1
            del rest[0]
        else:
            break
    if rest and runs.script_options:
        return (), "runs a script from a file or from its input"
    return tuple(rest), ""


def _drop_option(runs: Runs, rest: list[Word]) -> str:
    """Drop the option that ``rest`` begins with, and its value; returns what is wrong with it."""
    text = rest.pop(0).known
    if text in runs.values:
        del rest[:1]
    elif text != "--" and text not in runs.flags and text.split("=", 1)[0] not in runs.values:
        return f"the option {text} is not known"
    return ""


def _is_safe_variable(name: str) -> bool:
    return name in SAFE_VARIABLES or name.startswith("LC_")


def _embedded(runs: Runs, words: tuple[Word, ...]) -> list[tuple[Word, ...] | None]:
    """Return the commands of `find -exec … ;`; None for one that has no clear end."""
    found: list[tuple[Word, ...] | None] = []
    rest = list(words)
    while rest:
        if rest.pop(0).text not in runs.after:
            continue
        ends = [i for i, word in enumerate(rest) if word.text in runs.until]
        if not ends or not ends[0]:
            return [*found, None]
        found.append(tuple(rest[: ends[0]]))
        rest = rest[ends[0] + 1 :]
    return found


def _redirect(redirect: Redirect, context: Context) -> Part | None:
    target = redirect.target
    if target.known.startswith(("/dev/tcp/", "/dev/udp/")):
        return Part("", "opens a network connection", Risk.NETWORK, f"opens {target.known}")
    if not redirect.writes or target.text in places.SINKS:
        return None
    if target.text is None:
        return Part("", f"writes to {target.raw}", Risk.UNKNOWN, f"writes to {target.raw}")
    verb = "adds to" if redirect.operator == ">>" else "writes"
    does = f"{verb} {target.text}"
    place = places.of(target.text, context.cwd, context.home)
    if place is None:
        return Part("", does, Risk.CHANGES_FILES, does)
    return Part("", does, Risk.worst(place.risk, Risk.CHANGES_FILES), place.because)


def _harmless_start(word: Word) -> bool:
    """Whether an expansion is one of those that the system sets to a path."""
    start = word.raw.removeprefix('"')
    return start.startswith(("$HOME", "${HOME}", "$PWD", "${PWD}"))


def _unknown(program: str, because: str) -> Part:
    return Part(program, "", Risk.UNKNOWN, because)
