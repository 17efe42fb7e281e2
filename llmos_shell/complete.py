"""Tab: completes the word before the cursor to a file or, in first place, a program."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmos_shell.lookup import BUILTINS, Lookup

MOST: Final = 200
"""Candidates that are looked at; a list longer than that helps nobody."""
SPECIAL: Final = frozenset(" \t\\'\"$`&|;<>()*?[]#!{}")


@dataclass(frozen=True, slots=True)
class Completion:
    """The text up to the cursor, as far as it is certain, and what it could become."""

    text: str
    candidates: tuple[str, ...] = ()


def complete(text: str, lookup: Lookup) -> Completion:
    """Complete the last word of ``text``, the text before the cursor."""
    start = _word_start(text)
    head, word = text[:start], text[start:]
    mark = ""
    if not head.strip() and word[:1] in {"!", "?"}:
        mark, word = word[0], word[1:]
    plain = word.replace("\\", "")
    first = not head.strip() or head.rstrip().endswith(("|", ";", "&&"))
    found = _programs(plain, lookup) if first and plain and "/" not in plain else []
    found += _files(plain, lookup)
    found = sorted(set(found))[:MOST]
    if not found:
        return Completion(text)
    common = _common_start(found)
    end = "" if len(found) > 1 or common.endswith("/") else " "
    if len(common) < len(plain):
        return Completion(text, tuple(found))
    return Completion(head + mark + _quoted(common) + end, tuple(found) if not end else ())


def _common_start(names: list[str]) -> str:
    """Return the longest text that all ``names``, sorted, begin with."""
    first, last = names[0], names[-1]
    length = next((i for i, c in enumerate(first) if last[i : i + 1] != c), len(first))
    return first[:length]


def _word_start(text: str) -> int:
    """Return where the last word begins; an escaped space does not end one."""
    index = len(text)
    while index and not (text[index - 1] in " |;&<>=" and text[index - 2 : index - 1] != "\\"):
        index -= 1
    return index


def _programs(start: str, lookup: Lookup) -> list[str]:
    found = [name for name in (*BUILTINS, *lookup.names) if name.startswith(start)]
    folders = [lookup.cwd / folder for folder in lookup.path.split(":")]
    found += [
        name
        for folder in folders
        for name in _names(folder)
        if name.startswith(start) and os.access(folder / name, os.X_OK)
    ]
    return found


def _files(start: str, lookup: Lookup) -> list[str]:
    folder, slash, name = start.rpartition("/")
    shown = folder + slash
    base = lookup.cwd / (lookup.home + shown[1:] if shown.startswith("~/") else shown)
    return [
        shown + entry + ("/" if (base / entry).is_dir() else "")
        for entry in _names(base)
        if entry.startswith(name) and (name.startswith(".") or not entry.startswith("."))
    ]


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names only, and a PATH has thousands
    except OSError:
        return []


def _quoted(text: str) -> str:
    return "".join("\\" + char if char in SPECIAL else char for char in text)
