"""What a person sees on a serial terminal: a VT220-like screen, kept by pyte.

pyte prints the rest of every control sequence that it does not know, which no terminal does;
so sequences are cut out of the stream first, and only those that it knows are passed on.
"""

import contextlib
import re
from collections.abc import Iterator

import pyte

_ESCAPE = b"\x1b"
_SEQUENCE = re.compile(
    rb"\x1b(?:"
    rb"\[(?P<parameters>[0-?]*)(?P<intermediates>[ -/]*)(?P<final>[@-~])"
    # Strings for the terminal (titles, colours, queries of its capabilities).
    rb"|\][^\x07\x1b]*(?:\x07|\x1b\\)"
    rb"|[PX^_][^\x1b]*\x1b\\"
    rb"|(?P<plain>[#%()]?[0-OQ-WYZ`-~\\])"
    rb"|[ -/]+[0-~]"
    rb")"
)
_UNFINISHED = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[PX^_][^\x1b]*\x1b?|[ -/]*)\Z"
)
# Longer than any string that is meant for a terminal: what is longer was never one.
_LONGEST_SEQUENCE = 4096
# What pyte takes with a question mark: modes, erasing, attributes.
_PRIVATE_FINALS = b"hlJKc"


class Terminal:
    """A screen of ``columns`` by ``lines`` characters that understands and answers."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self._screen = _AnsweringScreen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Show ``data``; return what the terminal answers to the queries in it."""
        data, self._held = _split_unfinished(self._held + data)
        for piece in _understood(data):
            # pyte raises for more parameters than a sequence has; a terminal ignores them all.
            with contextlib.suppress(TypeError):
                self._stream.feed(piece)
        answers, self._screen.answers = self._screen.answers, ""
        return answers.encode()

    @property
    def rows(self) -> tuple[str, ...]:
        """The screen, one string a row, without trailing blanks."""
        return tuple(row.rstrip() for row in self._screen.display)

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column of the cursor, from 0."""
        return self._screen.cursor.y, self._screen.cursor.x


class _AnsweringScreen(pyte.Screen):
    def __init__(self, columns: int, lines: int) -> None:
        self.answers = ""
        super().__init__(columns, lines)

    def write_process_input(self, data: str) -> None:
        self.answers += data


def plain_text(data: bytes) -> str:
    """``data`` without its control sequences, as it reads in a log."""
    text = _SEQUENCE.sub(b"", data).decode("utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _understood(data: bytes) -> Iterator[bytes]:
    at = 0
    for found in _SEQUENCE.finditer(data):
        yield data[at : found.start()].replace(_ESCAPE, b"")
        if _is_known(found):
            yield found.group()
        at = found.end()
    # An escape byte that begins nothing would swallow what follows it.
    yield data[at:].replace(_ESCAPE, b"")


def _is_known(found: re.Match[bytes]) -> bool:
    final, parameters = found["final"], found["parameters"]
    if final is None:
        return found["plain"] is not None
    if found["intermediates"]:
        return False
    if parameters.startswith(b"?"):
        return final in _PRIVATE_FINALS and _are_numbers(parameters[1:])
    return _are_numbers(parameters)


def _are_numbers(parameters: bytes) -> bool:
    return not parameters.strip(b"0123456789;")


def _split_unfinished(data: bytes) -> tuple[bytes, bytes]:
    """``data`` up to a sequence that its end has cut, and that sequence."""
    cut = _UNFINISHED.search(data)
    if cut is None or len(data) - cut.start() > _LONGEST_SEQUENCE:
        return data, b""
    return data[: cut.start()], data[cut.start() :]
