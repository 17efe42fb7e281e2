"""The output of a command as safe text: lines with colours, and nothing else.

A program may write any bytes. What reaches the screen of the session is text in lines:
colours are kept, carriage returns and backspaces do what they do on a terminal, and every
other control sequence is dropped. Memory is bounded: old lines go when new ones come.
"""

import codecs
import re
from collections import deque
from dataclasses import dataclass, replace
from typing import Any, Final

MAX_LINES: Final = 5_000
MAX_CHARS: Final = 1_000_000
MAX_COLUMNS: Final = 2_000
"""A longer line is broken: nobody reads it, and it would be laid out again and again."""
TAB: Final = 8

SEQUENCE: Final = re.compile(
    r"\x1b\[(?P<params>[0-?]*)[ -/]*(?P<final>[@-~])"  # CSI
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC: titles, links
    r"|\x1b[PX^_][^\x1b]*\x1b\\"  # DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-OQ-WYZ\\`-~]"  # two characters, character sets
)
UNFINISHED: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[PX^_][^\x1b]*\x1b?|[ -/]*)"
)
MAX_UNFINISHED: Final = 4_096
CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
OTHER_CONTROLS: Final = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
WHOLE_SCREEN: Final = frozenset({"?1049", "?1047", "?47"})


@dataclass(frozen=True, slots=True)
class Look:
    """Colours (0–255, or `#rrggbb`; None for the terminal's own) and attributes."""

    colour: int | str | None = None
    ground: int | str | None = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    reverse: bool = False


PLAIN: Final = Look()


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of text in one look."""

    text: str
    look: Look = PLAIN


Line = tuple[Run, ...]


class Paper:
    """Takes bytes, keeps lines. ``dropped`` lines have gone for want of room."""

    def __init__(self) -> None:
        self.lines: deque[Line] = deque()
        self.dropped = 0
        self.wants_screen = False
        """Whether the program asked for the whole screen."""
        self._chars = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._pending = ""
        self._look = PLAIN
        self._cells: list[tuple[str, Look]] = []
        self._column = 0

    @property
    def last(self) -> Line:
        """The line that is not finished yet."""
        return _runs(self._cells)

    def feed(self, data: bytes) -> None:
        """Take more output; any bytes, cut anywhere."""
        text = self._pending + self._decoder.decode(data)
        self._pending = ""
        if text.count("\n") > MAX_LINES:
            text = self._skip(text)
        position = 0
        while position < len(text):
            escape = text.find("\x1b", position)
            if escape < 0:
                self._plain(text[position:])
                return
            self._plain(text[position:escape])
            match = SEQUENCE.match(text, escape)
            if match:
                self._sequence(match)
                position = match.end()
                continue
            rest = UNFINISHED.fullmatch(text, escape)
            if rest and len(text) - escape < MAX_UNFINISHED:
                self._pending = text[escape:]
                return
            position = escape + 1

    def _skip(self, text: str) -> str:
        """Drop all but the last lines of a flood unread."""
        skipped, *rest = text.rsplit("\n", MAX_LINES)
        self.dropped += skipped.count("\n") + 1 + len(self.lines)
        self.lines.clear()
        self._chars = 0
        self._cells, self._column, self._look = [], 0, PLAIN
        return "\n".join(rest)

    def _plain(self, text: str) -> None:
        """Write text in which there is no escape."""
        *whole, last = text.split("\n")
        for ended in whole:
            line = ended.removesuffix("\r")
            if self._cells or self._column or len(line) > MAX_COLUMNS or CONTROLS.search(line):
                self._write(line)
                self._newline()
            else:  # most lines, by far
                self._keep((Run(line, self._look),) if line else (), len(line))
        self._write(last)

    def _write(self, text: str) -> None:
        if not CONTROLS.search(text):
            self._put(text)
            return
        for piece in re.split(r"([\r\b\t])", OTHER_CONTROLS.sub("", text)):
            match piece:
                case "\r":
                    self._column = 0
                case "\b":
                    self._column = max(0, self._column - 1)
                case "\t":
                    self._put(" " * (TAB - self._column % TAB))
                case _:
                    self._put(piece)

    def _put(self, text: str) -> None:
        while text:
            room = MAX_COLUMNS - self._column
            if room <= 0:
                self._newline()
                continue
            piece, text = text[:room], text[room:]
            missing = self._column - len(self._cells)
            if missing > 0:
                self._cells += [(" ", PLAIN)] * missing
            end = self._column + len(piece)
            self._cells[self._column : end] = [(c, self._look) for c in piece]
            self._column = end

    def _newline(self) -> None:
        self._keep(_runs(self._cells), len(self._cells))
        self._cells, self._column = [], 0

    def _keep(self, line: Line, length: int) -> None:
        self.lines.append(line)
        self._chars += length
        while len(self.lines) > MAX_LINES or self._chars > MAX_CHARS:
            self._chars -= sum(len(run.text) for run in self.lines.popleft())
            self.dropped += 1

    def _sequence(self, match: re.Match[str]) -> None:
        params = match["params"] or ""
        count = min(int(params), MAX_COLUMNS) if params.isdecimal() and len(params) < 6 else 0
        match match["final"]:
            case "m":
                self._look = _look(self._look, params)
            case "K" if count == 0:
                del self._cells[self._column :]
            case "K":
                self._cells = [] if count == 2 else [(" ", PLAIN)] * self._column
            case "G":
                self._column = max(0, count - 1)
            case "C":
                self._column = min(self._column + max(1, count), MAX_COLUMNS)
            case "D":
                self._column = max(0, self._column - max(1, count))
            case "h" if params in WHOLE_SCREEN:
                self.wants_screen = True


def _runs(cells: list[tuple[str, Look]]) -> Line:
    """Join cells of the same look."""
    runs: list[Run] = []
    start = 0
    for index in range(1, len(cells) + 1):
        if index == len(cells) or cells[index][1] is not cells[start][1]:
            text = "".join(char for char, _ in cells[start:index])
            runs.append(Run(text, cells[start][1]))
            start = index
    return tuple(runs)


def _look(look: Look, params: str) -> Look:
    """Apply an SGR sequence (ECMA-48 8.3.117, and xterm's 38 and 48)."""
    codes = [int(p) if p.isdecimal() and len(p) < 5 else 0 for p in re.split("[;:]", params)]
    while codes:
        code = codes.pop(0)
        if code in {38, 48}:
            colour = _extended(codes)
            look = replace(look, colour=colour) if code == 38 else replace(look, ground=colour)
        elif change := _CHANGES.get(code):
            look = replace(look, **change)
        elif code == 0:
            look = PLAIN
    return look


def _extended(codes: list[int]) -> int | str | None:
    """Take the rest of `38;5;n` or `38;2;r;g;b` off ``codes``."""
    mode = codes.pop(0) if codes else 0
    if mode == 5 and codes:
        return min(codes.pop(0), 255)
    if mode == 2 and len(codes) >= 3:
        red, green, blue = (min(codes.pop(0), 255) for _ in range(3))
        return f"#{red:02x}{green:02x}{blue:02x}"
    return None


_CHANGES: Final[dict[int, dict[str, Any]]] = {
    1: {"bold": True}, 2: {"dim": True}, 3: {"italic": True}, 4: {"underline": True},
    7: {"reverse": True}, 22: {"bold": False, "dim": False}, 23: {"italic": False},
    24: {"underline": False}, 27: {"reverse": False}, 39: {"colour": None},
    49: {"ground": None},
    **{30 + n: {"colour": n} for n in range(8)}, **{40 + n: {"ground": n} for n in range(8)},
    **{90 + n: {"colour": 8 + n} for n in range(8)},
    **{100 + n: {"ground": 8 + n} for n in range(8)},
}  # fmt: skip
