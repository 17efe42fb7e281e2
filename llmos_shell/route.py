"""Decides what a typed line is: a command for bash, or a request in plain words.

`!line` is always a command (`!!line` one that gets the whole terminal) and `?line` always a
request. In between, a line is a command
only when it plainly is one: its first word is a program *and* the rest looks like arguments.
"find my big files" is a request although `find` is a program; `yes` after a plan is an
answer that came late, never the program `yes`.
"""

import re
import shlex
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol


class Kind(Enum):
    """What becomes of a line when Enter is pressed."""

    NOTHING = "nothing"
    COMMAND = "command"
    REQUEST = "request"
    LEAVE = "leave"
    STRAY = "stray"
    """An answer ("yes") to a question that nobody asked."""

    @property
    def hint(self) -> str:
        """What stands beside the prompt before Enter is pressed."""
        return _HINTS[self]


_HINTS: Final = {
    Kind.NOTHING: "type a request or a command",
    Kind.COMMAND: "a command: Enter runs it",
    Kind.REQUEST: "a request: Enter asks the model",
    Kind.LEAVE: "Enter: leave",
    Kind.STRAY: "no question is open",
}


@dataclass(frozen=True, slots=True)
class Route:
    """The decision: the kind, and the line without the mark that forced it."""

    kind: Kind
    text: str
    whole_terminal: bool = False
    """Whether the person asked for the real terminal: `!!line`."""
    missing: str = ""
    """The program that a request may have been meant for, which is not here."""


class Surroundings(Protocol):
    """What a route depends on besides the line: programs and files."""

    def is_program(self, name: str) -> bool:
        """Whether bash would run ``name``: a program, a builtin, a function, an alias."""

    def is_path(self, text: str) -> bool:
        """Whether ``text``, as typed, names something that exists."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ANSWERS: Final = frozenset({"y", "yes", "n", "no"})

ENGLISH: Final = _words(
    "a about again all am an and any anybody anything are as at be because been below "
    "between both but by can could did do does doing don't each every everything few for "
    "from has have having her here him his how i if in into is it its itself just let many "
    "me might mine more most much must my myself no not nothing of off on once one only or "
    "other our out over please should show so some something than that the their them then "
    "there these they this those through to today too under until up us using very was we "
    "were what what's when where which while who whose why will with without would "
    "yesterday you your called named larger bigger smaller older newer"
)
"""Words that sentences have and arguments seldom are."""

VERBS: Final = _words(
    "apply ask at batch break case clear column command compare complete continue convert "
    "count cut date delete dig disable display do edit enable exec expand export file find "
    "fold for format free function give group groups hash head help history host identify "
    "if import install join jobs kill last let link local locate logger look mail make man "
    "mount more move nice open paste play power print read record rename report reset "
    "resize return run screen script select service set shift shred shutdown sort source "
    "split start stop suspend tail tell test then time times top trap tree true type "
    "unlink until update users view wait wall watch what which while who write"
)
"""Programs and builtins whose names begin sentences too."""

KEYWORDS: Final = frozenset({"for", "while", "until", "if", "case", "function"})
WRAPPERS: Final = frozenset(
    {"sudo", "doas", "time", "nice", "nohup", "env", "exec", "command", "watch"}
)
ABOUT_PROGRAMS: Final = frozenset({"which", "type", "man", "command", "help", "hash"})
TALKATIVE: Final = frozenset({"echo", "printf"})
SERVICE_VERBS: Final = frozenset({"start", "stop", "restart", "status", "reload"})

ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*\+?=")
OPTION: Final = re.compile(r"--?[A-Za-z0-9]\S*|--")
PATH_LIKE: Final = re.compile(
    r"(~|\.{1,2})(/.*)?|[^\s]*/[^\s]*|[\w.-]*\.[A-Za-z]\w{0,4}|\.\w[\w.-]*"
)
NUMBER: Final = re.compile(r"\+?\d+[\w%]*")
SHELL_SYNTAX: Final = re.compile(r"[|<>;]|&&|&\s*$|\$[({\w?]|`[^`]+`")
BLOCK: Final = re.compile(r";\s*(do|then)\b|\bin\b[^;]*\)|\(\)\s*\{")
GLOB: Final = re.compile(r"[*?\[]")


def route(line: str, around: Surroundings) -> Route:
    """Decide what ``line`` is."""
    text = line.strip()
    kind = Kind.REQUEST
    if text.startswith("!!"):
        text = text[2:].strip()
        return Route(Kind.COMMAND if text else Kind.NOTHING, text, whole_terminal=True)
    match text[:1]:
        case "":
            return Route(Kind.NOTHING, "")
        case "!":
            text = text[1:].strip()
            kind = Kind.COMMAND
        case "?":
            text = text[1:].strip()
        case _ if text in {"exit", "logout"}:
            return Route(Kind.LEAVE, text)
        case _ if text.lower() in ANSWERS:
            return Route(Kind.STRAY, text)
        case _ if _is_command(text, around):
            kind = Kind.COMMAND
    missing = _missing(text, around) if kind is Kind.REQUEST else ""
    return Route(kind if text else Kind.NOTHING, text, missing=missing)


def _missing(text: str, around: Surroundings) -> str:
    """Return the first word if the line would be a command, were there such a program."""
    first, *rest = text.split() or [""]
    looks = re.fullmatch(r"[a-z][a-z0-9._+-]*", first) and all(map(_marked, rest))
    return first if looks and not around.is_program(first) else ""


def _is_command(text: str, around: Surroundings) -> bool:
    try:
        words = shlex.split(text, comments=False)
    except ValueError:  # an odd apostrophe: bob's files
        return False
    bare = text.split()
    while words and ASSIGNMENT.match(words[0]):
        words, bare = words[1:], bare[1:]
        if not words:
            return True
    if not words or not bare:
        return False
    if text[0] in "({":
        return text[-1] in ")}" and _is_command(text.strip("(){}; "), around)
    if bare[0] in KEYWORDS:
        return bool(BLOCK.search(text))
    first = words[0]
    if not around.is_program(first):
        return False
    if len(words) == 1:
        return not text.endswith("?")
    if first in WRAPPERS and not words[1].startswith("-"):
        return _is_command(text[text.index(bare[0]) + len(bare[0]) :].strip(), around)
    return _has_arguments(first, words[1:], text, around)


def _has_arguments(first: str, words: list[str], text: str, around: Surroundings) -> bool:
    """Whether the words after a program look like its arguments and not like a sentence."""
    if first in TALKATIVE or words[0].startswith("-"):
        return True
    unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "''", text).split()[1:]
    sentence = [word for word in unquoted if _is_english(word, around)]
    if first not in VERBS:
        # `grep`, `chmod`, `ls`: nobody begins a sentence so, unless it goes on like one.
        syntax = any(OPTION.fullmatch(w) or SHELL_SYNTAX.search(w) for w in unquoted)
        return not sentence or (syntax and len(sentence) < 2 and not text.endswith("?"))
    if sentence:
        return False
    if first == "make" and around.is_path("Makefile"):
        return True
    if first == "service" and words[-1] in SERVICE_VERBS:
        return True
    if first in ABOUT_PROGRAMS:
        return all(around.is_program(word) or _marked(word) for word in words)
    # `kill $(pgrep x)` and `head x | wc -l`, but not "find files > 10MB".
    until = next((i for i, w in enumerate(unquoted) if SHELL_SYNTAX.search(w)), len(words))
    pairs = zip([first, *words], words[:until], strict=False)
    return all(_argument(word, before, around) for before, word in pairs)


def _is_english(word: str, around: Surroundings) -> bool:
    """Whether a word belongs to a sentence; a file of that name takes it out again."""
    plain = word.lower().strip(".,?!")
    return plain in ENGLISH and not _marked(word) and not around.is_path(word)


def _argument(word: str, before: str, around: Surroundings) -> bool:
    """Whether one word after a verb looks like an argument; ``before`` stands before it."""
    return (
        _marked(word)
        or bool(GLOB.search(word))
        or bool(OPTION.fullmatch(before))
        or around.is_path(word)
    )


def _marked(word: str) -> bool:
    """Whether a word has the form of an argument, whatever it says."""
    return bool(
        OPTION.fullmatch(word)
        or PATH_LIKE.fullmatch(word)
        or NUMBER.fullmatch(word)
        or ASSIGNMENT.match(word)
    )
