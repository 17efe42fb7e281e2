"""Reads the metadata of a GGUF that we wrote ourselves, arrays included."""

import struct
from pathlib import Path
from typing import Any, BinaryIO

_LAYOUTS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the keys and values of a GGUF's header."""
    with path.open("rb") as file:
        magic, _, _, keys = struct.unpack("<4sIQQ", file.read(24))
        assert magic == b"GGUF"
        return {_text(file): _value(file, _number(file, "I")) for _ in range(keys)}


def _number(file: BinaryIO, layout: str) -> Any:
    return struct.unpack(f"<{layout}", file.read(struct.calcsize(f"<{layout}")))[0]


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "Q")).decode()


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _text(file)
    if kind == _ARRAY:
        inner, count = _number(file, "I"), _number(file, "Q")
        return [_value(file, inner) for _ in range(count)]
    return _number(file, _LAYOUTS[kind])
