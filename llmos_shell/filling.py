"""Literals put back into the slots of a command, quoted for the place where each one stands.

Whatever a person typed becomes a part of one argument, letter for letter; the shell never runs
or expands it. Some things are read as a person means them: an unquoted slot keeps a leading
``~/`` outside the quotes, a glob in an unquoted slot stays a glob, a name with a leading dash is
kept from being an option, and a size below which ``find`` searches is written in a finer unit.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from enum import Enum
from itertools import dropwhile, pairwise
from typing import TYPE_CHECKING

from llmos_shell.slots import SLOT, Kind, Literal, SlotPlaceError, UnknownSlotError

if TYPE_CHECKING:
    from collections.abc import Mapping


def _set(spaced: str) -> frozenset[str]:
    return frozenset(spaced.split())


# They run or interpret their arguments once more, so quoting for bash does not protect.
_INTERPRETERS = _set(
    ". ash awk bash dash eval fish gawk ksh mawk node parallel perl php python python3 ruby "
    "runuser script sed sh source ssh su trap watch zsh"
)
# What follows them is a command word again.
_PREFIXES = _set(
    "! builtin command coproc do doas else elif env exec if ionice nice nohup setsid stdbuf sudo "
    "then time timeout until while xargs {"
)
_EXEC_OPTIONS = _set("-exec -execdir -ok -okdir")
# Their next word is a value however it begins.
_VALUE_OPTIONS = _set("-name -iname -path -ipath -wholename -regex -iregex -newermt -e")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")


def fill(command: str, literals: Mapping[str, Literal]) -> str:
    """Return ``command`` with its slots filled.

    Raises :class:`UnknownSlotError` or :class:`SlotPlaceError`.
    """
    return _Scanner(command, literals).filled()


def fill_text(text: str, literals: Mapping[str, Literal]) -> str:
    """Return a sentence with its slots filled as the person typed them; unknown ones as "…"."""

    def typed(match: re.Match[str]) -> str:
        literal = literals.get(match[1])
        return "…" if literal is None else literal.typed

    return SLOT.sub(typed, text)


class _Mode(Enum):
    """What part of the shell's grammar a character stands in."""

    COMMAND = "a command"
    SINGLE = "single quotes"
    DOUBLE = "double quotes"
    ANSI = "$'…'"
    BACKTICK = "backticks"
    PARAMETER = "${…}"
    ARITHMETIC = "$((…))"
    COMMENT = "a comment"

    @property
    def is_quoted(self) -> bool:
        return self in {_Mode.SINGLE, _Mode.DOUBLE}


@dataclass
class _Frame:
    """One level of nesting; for a command also the words of the simple command so far."""

    mode: _Mode
    words: list[str] = field(default_factory=list)
    word: str = ""
    in_word: bool = False
    redirected: bool = False

    def end_word(self) -> None:
        if self.in_word and not self.redirected:
            self.words.append(self.word)
        if self.in_word:
            self.redirected = False
        self.word, self.in_word = "", False

    def end_command(self) -> None:
        self.end_word()
        self.words.clear()
        self.redirected = False

    def _from_command_word(self) -> list[str]:
        """Return the words without the assignments that may stand before them."""
        return list(dropwhile(_ASSIGNMENT.match, self.words))

    @property
    def awaits_command(self) -> bool:
        """Whether the current word is (or, after options, may be) the name of a command."""
        words = self._from_command_word()
        if words and words[0] in _PREFIXES:
            # `nice -n 5 x`, `timeout 5 x`: every option may take a word that names no command.
            options = [word for word in words if word.startswith("-") or word == "timeout"]
            skipped = {*_PREFIXES, *options, *filter(_ASSIGNMENT.match, words)}
            return sum(word not in skipped for word in words) <= len(options)
        return not words

    @property
    def interpreter(self) -> str | None:
        """Return the command of these words that would interpret its arguments, if one does."""
        words = self._from_command_word()
        named = words[:1] + [word for option, word in pairwise(words) if option in _EXEC_OPTIONS]
        if words and words[0] in _PREFIXES:
            # Which of the words is the command depends on the prefix's own options.
            named = words
        names = (word.rpartition("/")[2] for word in named)
        return next((name for name in names if name in _INTERPRETERS), None)


_CLOSERS = {
    _Mode.SINGLE: "'",
    _Mode.ANSI: "'",
    _Mode.DOUBLE: '"',
    _Mode.BACKTICK: "`",
    _Mode.PARAMETER: "}",
}


class _Scanner:
    """Walks over a command once, keeps track of quoting and nesting, and fills slots."""

    def __init__(self, command: str, literals: Mapping[str, Literal]) -> None:
        self._command = command
        self._literals = literals
        self._frames = [_Frame(_Mode.COMMAND)]
        self._out: list[str] = []
        self._at = 0
        self._heredoc = False

    def filled(self) -> str:
        while self._at < len(self._command):
            slot = SLOT.match(self._command, self._at)
            if slot is not None:
                self._out.append(self._value(slot))
                self._at = slot.end()
            else:
                self._step()
        return "".join(self._out)

    @property
    def _top(self) -> _Frame:
        return self._frames[-1]

    def _word_frame(self) -> _Frame:
        """Return the innermost command, in whose word all quotes around it stand."""
        return next(frame for frame in reversed(self._frames) if frame.mode is _Mode.COMMAND)

    def _copy(self, text: str, *, to_word: bool = True) -> None:
        self._out.append(text)
        self._at += len(text)
        if to_word:
            frame = self._word_frame()
            frame.word += text
            frame.in_word = True

    def _push(self, mode: _Mode, opening: str) -> None:
        self._copy(opening)
        self._frames.append(_Frame(mode))

    def _pop(self, closing: str) -> None:
        self._frames.pop()
        self._copy(closing)

    def _step(self) -> None:
        """Copy the next piece of syntax that is no slot."""
        mode = self._top.mode
        rest = self._command[self._at :]
        if mode is _Mode.COMMENT:
            if rest[0] == "\n":
                self._frames.pop()
            else:
                self._copy(rest[0], to_word=False)
        elif rest[0] == "\\" and mode is not _Mode.SINGLE:
            if SLOT.match(rest, 1):
                raise SlotPlaceError(rest[1:].split(">")[0] + ">", "it stands after a backslash")
            self._copy(rest[:2])
        elif _CLOSERS.get(mode) == rest[0]:
            self._pop(rest[0])
        elif mode is _Mode.ARITHMETIC and rest.startswith("))"):
            self._pop("))")
        elif mode in {_Mode.SINGLE, _Mode.ANSI, _Mode.BACKTICK}:
            self._copy(rest[0])
        elif not self._opens(rest, mode):
            self._plain(rest, mode)

    def _opens(self, rest: str, mode: _Mode) -> bool:
        """Open a nested level if one begins here."""
        if rest.startswith("$(("):
            self._push(_Mode.ARITHMETIC, "$((")
        elif rest.startswith("$("):
            self._push(_Mode.COMMAND, "$(")
        elif rest.startswith("${"):
            self._push(_Mode.PARAMETER, "${")
        elif rest[0] == "`":
            self._push(_Mode.BACKTICK, "`")
        elif rest[0] == '"':
            self._push(_Mode.DOUBLE, '"')
        elif rest.startswith("$'") and mode is not _Mode.DOUBLE:
            self._push(_Mode.ANSI, "$'")
        elif rest[0] == "'" and mode is not _Mode.DOUBLE:
            self._push(_Mode.SINGLE, "'")
        else:
            return False
        return True

    def _plain(self, rest: str, mode: _Mode) -> None:
        """Copy a character of a word, or an operator that ends one."""
        frame = self._top
        if mode is not _Mode.COMMAND:
            self._copy(rest[0])
        elif rest[0] in "<>":
            self._redirect(rest, frame)
        elif rest[0] in ";|&\n":
            self._copy(rest[0], to_word=False)
            frame.end_command()
        elif rest[0] == "(":
            frame.end_word()
            self._copy("(", to_word=False)
            self._frames.append(_Frame(_Mode.COMMAND))
        elif rest[0] == ")":
            self._copy(")", to_word=False)
            if len(self._frames) > 1:
                self._frames.pop()
                self._word_frame().in_word = True
        elif rest[0].isspace():
            self._copy(rest[0], to_word=False)
            frame.end_word()
        elif rest[0] == "#" and not frame.in_word:
            self._copy("#", to_word=False)
            self._frames.append(_Frame(_Mode.COMMENT))
        else:
            self._copy(rest[0])

    def _redirect(self, rest: str, frame: _Frame) -> None:
        if rest.startswith("<<") and not rest.startswith("<<<"):
            self._heredoc = True
        if frame.word.isdigit():
            # The number of a file descriptor is no word of the command.
            frame.word, frame.in_word = "", False
        frame.end_word()
        operator = re.match(r"(<<<|<<-?|<>|<&|>>|>&|>\||<|>)", rest)
        self._copy(operator[0] if operator else rest[0], to_word=False)
        if rest[1:2] != "(":
            frame.redirected = True

    def _value(self, match: re.Match[str]) -> str:
        slot = match[0]
        literal = self._literals.get(match[1])
        if literal is None:
            raise UnknownSlotError(slot, self._literals)
        frame = self._word_frame()
        self._check_place(slot, literal, frame)
        literal = literal.lowered() if match[2] else literal
        starts_word = frame.word in {"", "'", '"'}
        value = literal.value
        if starts_word and value.startswith("-") and literal.kind.may_look_like_an_option:
            value = value if self._is_operand(frame) else f"./{value}"
        if frame.word == "-" and frame.words[-1:] == ["-size"]:
            value = _below(value)
        frame.word += value
        frame.in_word = True
        match self._top.mode:
            case _Mode.SINGLE:
                return value.replace("'", "'\\''")
            case _Mode.DOUBLE:
                return _for_double_quotes(value)
            case _:
                bare = literal.kind is Kind.GLOB
                home = literal.kind in {Kind.PATH, Kind.GLOB} and frame.word == value
                return _unquoted(value, keep_home=home, keep_glob=bare)

    @staticmethod
    def _is_operand(frame: _Frame) -> bool:
        """Whether a word with a leading dash cannot be read as an option here."""
        last = frame.words[-1] if frame.words else ""
        return "--" in frame.words or last in _VALUE_OPTIONS or frame.redirected

    def _check_place(self, slot: str, literal: Literal, frame: _Frame) -> None:
        mode = self._top.mode
        if mode is not _Mode.COMMAND and not mode.is_quoted:
            raise SlotPlaceError(slot, f"it stands in {mode.value}")
        if any(outer.mode is _Mode.BACKTICK for outer in self._frames):
            raise SlotPlaceError(slot, "it stands in backticks")
        if self._heredoc:
            raise SlotPlaceError(slot, "the command has a here-document")
        if mode is not _Mode.SINGLE and self._command[: self._at].endswith("$"):
            raise SlotPlaceError(slot, "it stands after a dollar sign")
        assigned = _ASSIGNMENT.match(frame.word)
        if frame.awaits_command and not frame.redirected and not assigned:
            raise SlotPlaceError(slot, "it stands where a command is named")
        interpreter = frame.interpreter
        if interpreter and not (interpreter == "ssh" and literal.kind is Kind.HOST):
            raise SlotPlaceError(slot, f"{interpreter} would interpret it")
        if frame.words and frame.words[0].startswith(("$", '"$', "`")):
            raise SlotPlaceError(slot, "the command that gets it is not known")


def _below(size: str) -> str:
    """Write the size of ``find -size -…`` in the next smaller unit: 2G → 2048M.

    find rounds every file up to whole units, so that ``-2G`` would leave out a file of 1.5 GiB,
    and ``-1M`` every file that is not empty. From 5 KiB on the last one does not matter.
    """
    number, unit = size[:-1], size[-1:]
    smaller = {"G": "M", "M": "k", "k": "c"}.get(unit)
    if smaller is None or not number.isdigit() or (unit == "k" and int(number) >= 5):
        return size
    return f"{int(number) * 1024}{smaller}"


def _for_double_quotes(value: str) -> str:
    escaped = re.sub(r'([\\"$`])', r"\\\1", value)
    # An interactive bash expands history inside double quotes, backslash or not.
    return escaped.replace("!", "\"'!'\"")


def _unquoted(value: str, *, keep_home: bool, keep_glob: bool) -> str:
    """Quote a value for a place outside quotes."""
    quote = _glob_quoted if keep_glob else shlex.quote
    home = re.match(r"~([a-z_][a-z0-9_-]*)?(/|$)", value) if keep_home else None
    if home is None:
        return quote(value)
    rest = value[home.end() :]
    return home[0] + (quote(rest) if rest else "")


def _glob_quoted(pattern: str) -> str:
    """Quote all of a glob but its ``* ? [ ]`` and the signs inside its brackets."""
    out: list[str] = []
    bracket = False
    for index, char in enumerate(pattern):
        if char == "[" and "]" in pattern[index + 2 :]:
            bracket = True
        elif char == "]":
            bracket = False
        negates = bracket and char in "!^" and pattern[index - 1 : index] == "["
        if char.isalnum() or char in "*?[]_-+=:,./%@" or negates:
            out.append(char)
        else:
            out.append(shlex.quote(char))
    return "".join(out)
