"""The output of a command: lines of safe text, laid out for the width there is."""

from collections.abc import Iterator
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from llmos_shell.paper import Line, Look, Paper, Run

NAMES: Final = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


class Output(Widget):
    """Shows a :class:`~llmos_shell.paper.Paper`; bytes are laid out when it is told to."""

    DEFAULT_CSS = "Output { height: auto; width: 1fr; }"

    def __init__(self, *, rich_colours: bool) -> None:
        super().__init__()
        self.paper = Paper()
        self._rich = rich_colours
        self._pending: list[bytes] = []
        self._rows: list[Line] = []
        self._laid_out = 0
        self._lost = 0
        self._width = 0
        self._styles: dict[Look, Style] = {}

    def take(self, data: bytes) -> None:
        """Take output; it is shown at the next :meth:`show`."""
        self._pending.append(data)

    def show(self) -> bool:
        """Lay out what has come since the last time; returns whether anything had."""
        if not self._pending:
            return False
        data = b"".join(self._pending)
        self._pending.clear()
        self.paper.feed(data)
        self._lay_out()
        self.refresh(layout=True)
        return True

    def _lay_out(self) -> None:
        """Bring the rows up to date: only new lines are looked at, if nothing was lost."""
        paper = self.paper
        if self._lost != paper.dropped or not self._width:
            self._rows, self._laid_out, self._lost = [], 0, paper.dropped
            if paper.dropped:
                self._rows.append((Run(f"[{paper.dropped} earlier lines are gone]"),))
        lines = paper.lines
        for index in range(self._laid_out, len(lines)):
            self._rows += _wrapped(lines[index], self._width)
        self._laid_out = len(lines)

    def _all_rows(self) -> int:
        return len(self._rows) + len(self._last_rows())

    def _last_rows(self) -> list[Line]:
        last = self.paper.last
        return list(_wrapped(last, self._width)) if last else []

    def get_content_width(self, container: Size, viewport: Size) -> int:  # noqa: ARG002 - Textual's signature
        """Take all the width there is."""
        return container.width

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's signature
        """Return the number of rows at ``width``."""
        if width != self._width:
            self._width = max(1, width)
            self._lost = -1
            self._lay_out()
        return self._all_rows()

    def render_line(self, y: int) -> Strip:
        """Return one row."""
        rows = self._rows
        if y < len(rows):
            row = rows[y]
        else:
            last = self._last_rows()
            row = last[y - len(rows)] if y - len(rows) < len(last) else ()
        ground = self.rich_style
        segments = [Segment(run.text, ground + self._style(run.look)) for run in row]
        return Strip(segments).adjust_cell_length(self.size.width, ground)

    def _style(self, look: Look) -> Style:
        style = self._styles.get(look)
        if style is None:
            colour, bold = _colour(look.colour, rich=self._rich)
            ground, _ = _colour(look.ground, rich=self._rich)
            style = Style(
                color=colour,
                bgcolor=ground,
                bold=look.bold or bold or None,
                dim=look.dim or None,
                italic=(look.italic and self._rich) or None,
                underline=look.underline or None,
                reverse=look.reverse or None,
            )
            self._styles[look] = style
        return style


def _colour(colour: int | str | None, *, rich: bool) -> tuple[str | None, bool]:
    """Return a colour that the terminal has, and whether boldness stands in for brightness."""
    if colour is None:
        return None, False
    if isinstance(colour, str):
        return (colour, False) if rich else (None, False)
    if colour < 8:
        return NAMES[colour], False
    if rich:
        return f"color({colour})", False
    if colour < 16:
        return NAMES[colour - 8], True
    return None, False


def _wrapped(line: Line, width: int) -> Iterator[Line]:
    """Cut a line into rows of at most ``width`` cells."""
    if width < 1:
        return
    row: list[Run] = []
    room = width
    for run in line:
        text = run.text
        while text:
            piece = _fitting(text, room)
            if piece:
                row.append(Run(piece, run.look))
                room -= cell_len(piece)
                text = text[len(piece) :]
            if text:
                if not row:  # a character wider than the whole screen
                    break
                yield tuple(row)
                row, room = [], width
    yield tuple(row)


def _fitting(text: str, room: int) -> str:
    """Return as much of the beginning of ``text`` as fits into ``room`` cells."""
    if text.isascii():
        return text[:room]
    used = 0
    for index, char in enumerate(text):
        used += cell_len(char)
        if used > room:
            return text[:index]
    return text
