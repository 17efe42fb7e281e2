"""The literals of a request: found, put into numbered slots, and filled in again.

A small model cannot copy names exactly. So the shell takes every path, glob, quoted string,
size, number, host and unknown word out of a request and leaves a typed slot in its place:

    "find logs over 10 MB in ~/src"  →  "find <str1> over <size1> in <path1>"

The model answers with slots, and :func:`llmos_shell.filling.fill` puts the literals back,
quoted for the place in which each one stands. The training data of the built-in model is made
with this same module, so both sides see the same text.

Besides slots the text may hold two more marks. A word that could be a name as well as a known
word is given as both, ``<str1> ~ folder``: a known word that the model's list marks with ``+``,
one that stands where names stand or has a capital in mid-sentence, a typing error, a name of
known words with hyphens. After an extension stands ``~ extension``, and after a path
``~ file``, ``~ archive`` or ``~ folder`` when its form tells.
An unknown word beyond the fourth becomes ``<other>``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from llmos_shell.filling import fill, fill_text
from llmos_shell.slots import (
    SLOTS_OF_A_KIND,
    Kind,
    Literal,
    SlotError,
    SlotPlaceError,
    UnknownSlotError,
)
from llmos_shell.wordforms import (
    NEVER_NAMES,
    NUMBER_WORDS,
    QUOTES,
    SLASHED_WORDS,
    as_extension,
    as_glued_number,
    as_host,
    as_size,
    counts_units,
    looks_like_glob,
    looks_like_path,
    may_be_name,
    path_hint,
    trim,
    word_hint,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "OTHER",
    "SLOTS_KEY",
    "WORDS_KEY",
    "Kind",
    "Literal",
    "SlotError",
    "SlotPlaceError",
    "Slotted",
    "UnknownSlotError",
    "encode",
    "fill",
    "fill_text",
    "words_of",
]

SLOTS_KEY = "llmos.plan.slots"
WORDS_KEY = "llmos.plan.words"
OTHER = "<other>"

_HINT = "~"
_MIN_TYPO_LENGTH = 4


@dataclass(frozen=True)
class Slotted:
    """A request as the model sees it, and what its slots stand for (``"path1"`` → literal)."""

    text: str
    literals: Mapping[str, Literal]


def words_of(meta: Mapping[str, str]) -> frozenset[str] | None:
    """Return the word list of a model with slots, or None for a model that gets plain text."""
    if meta.get(SLOTS_KEY) != "1":
        return None
    return frozenset(meta.get(WORDS_KEY, "").split())


def encode(request: str, words: frozenset[str]) -> Slotted:
    """Replace the literals of ``request`` by slots.

    ``words`` are the (lower-case) words the model knows; they stay as they are, in lower case.
    A word with ``+`` at its end is known too and given as slot and word.
    Punctuation between words is dropped.
    """
    encoder = _Encoder(tuple(_pieces(request)), words)
    return encoder.encode()


@dataclass(frozen=True)
class _Piece:
    """A part of the request between spaces, or one quoted string."""

    text: str
    quoted: bool = False
    ends_sentence: bool = False


def _pieces(request: str) -> Iterator[_Piece]:
    """Split at white space and at quotes that open before a word and close after one."""
    position = 0
    while position < len(request):
        if request[position].isspace():
            position += 1
            continue
        quoted = _quoted_at(request, position)
        if quoted is not None:
            yield _Piece(quoted, quoted=True)
            position += len(quoted) + 2
            # What is glued to a closing quote is punctuation, or a suffix: "nginx"'s log.
            position += 2 * (request[position : position + 2].lower() in {"'s", "’s"})
            continue
        end = position
        while end < len(request) and not request[end].isspace():
            end += 1
        raw = request[position:end]
        text = trim(raw)
        if text:
            yield _Piece(text, ends_sentence=raw[-1] in ".!?")
        position = end


def _quoted_at(request: str, position: int) -> str | None:
    """Return what stands in the quotes that open at ``position``, if a quote does."""
    close = QUOTES.get(request[position])
    if close is None or (position and request[position - 1].isalnum()):
        return None
    end = request.find(close, position + 1)
    while end != -1 and request[end + 1 : end + 2].isalnum():
        # An apostrophe inside a word does not close the string.
        end = request.find(close, end + 1)
    content = request[position + 1 : end]
    return content if end != -1 and content.strip() else None


@dataclass
class _Encoder:
    pieces: tuple[_Piece, ...]
    words: frozenset[str]
    _out: list[str] = field(default_factory=list)
    _literals: dict[str, Literal] = field(default_factory=dict)
    _slots: dict[tuple[Kind, str], str] = field(default_factory=dict)
    _at: int = 0

    def encode(self) -> Slotted:
        self._lone_capital = self._find_lone_capital()
        while self._at < len(self.pieces):
            self._at += self._take()
        return Slotted(" ".join(self._out), self._literals)

    def _take(self) -> int:
        """Encode what stands at the current piece; return how many pieces that was."""
        piece = self.pieces[self._at]
        if piece.quoted:
            self._slot(_kind_of_quoted(piece.text), piece.text)
            return 1
        return self._take_measure() or self._take_word(piece.text)

    def _take_measure(self) -> int:
        """Take a size or a number, written in digits or in words; 0 when there is none."""
        first, second, third = (self._text(self._at + n) for n in range(3))
        for typed, count in (
            (first, 1),
            (f"{first} {second}", 2),
            (f"{first} {second} {third}", 3),
        ):
            size = as_size(typed)
            if size is not None:
                self._slot(Kind.SIZE, size, typed)
                return count
        glued = as_glued_number(first)
        if glued is not None:
            number, unit = glued
            self._slot(Kind.NUM, number, first)
            if unit:
                self._put(unit)
            return 1
        number_word = NUMBER_WORDS.get(first.lower())
        if number_word and counts_units(second, before=self._text(self._at - 1)):
            self._slot(Kind.NUM, number_word, first)
            return 1
        return 0

    def _take_word(self, text: str) -> int:
        previous = self._word(-1)
        extension = as_extension(text, (self._word(-2), previous), self._word(1))
        host = as_host(text)
        plain = text.replace("’", "'").lower()
        if extension is not None:
            self._slot(Kind.STR, extension, text)
            self._hint("extension")
        elif plain in SLASHED_WORDS:
            for part in plain.split("/"):
                self._put(part)
        elif self._is_known(plain):
            self._known(text, plain)
        elif host is not None:
            self._slot(Kind.HOST, host, text)
        elif looks_like_glob(text):
            self._slot(Kind.GLOB, text)
        elif looks_like_path(text, previous):
            home = re.sub(r"^\$(HOME|\{HOME\})(?=/|$)", "~", text)
            self._slot(Kind.PATH, home, text)
            self._hint(path_hint(home))
        else:
            self._unknown(text, plain)
        return 1

    def _known(self, text: str, plain: str) -> None:
        ambiguous = self._at == self._lone_capital or plain not in self.words
        if ambiguous or may_be_name(
            plain,
            (self._word(-2), self._word(-1)),
            self._word(1),
            is_last=self._at == len(self.pieces) - 1,
        ):
            if self._slot(Kind.STR, text):
                self._out.append(_HINT)
            else:
                # The word alone says more than the mark for one without a slot.
                self._out.pop()
        self._out.append(plain)

    def _unknown(self, text: str, plain: str) -> None:
        if plain.endswith("'s") and plain != "'s":
            self._take_word(text[:-2])
            return
        self._slot(Kind.STR, text)
        hint = word_hint(plain)
        parts = plain.split("-")
        if hint:
            self._hint(hint)
        elif len(parts) > 1 and all(map(self._is_known, parts)):
            self._out.extend((_HINT, *parts))
        elif len(plain) >= _MIN_TYPO_LENGTH and plain.isalpha():
            meant = _near(plain, self.words)
            if meant is not None:
                self._out.extend((_HINT, meant))

    def _hint(self, word: str) -> None:
        """Say what a slot is, in a word that the model knows."""
        if self._is_known(word):
            self._out.extend((_HINT, word))

    def _put(self, word: str) -> None:
        self._out.append(word if word in self.words else OTHER)

    def _slot(self, kind: Kind, value: str, typed: str | None = None) -> bool:
        """Put a slot; False when there are no more of this kind."""
        name = self._slots.get((kind, value))
        if name is None:
            number = 1 + sum(1 for known, _ in self._slots if known is kind)
            if number > SLOTS_OF_A_KIND:
                self._out.append(OTHER)
                return False
            name = f"{kind.value}{number}"
            self._slots[kind, value] = name
            self._literals[name] = Literal(kind, value, typed or value)
        self._out.append(f"<{name}>")
        return True

    def _text(self, index: int) -> str:
        """Return the unquoted text of a piece, or an empty string when there is none."""
        if not 0 <= index < len(self.pieces) or self.pieces[index].quoted:
            return ""
        return self.pieces[index].text

    def _word(self, offset: int) -> str:
        """Return a neighbour of the current piece in lower case."""
        return self._text(self._at + offset).lower()

    def _find_lone_capital(self) -> int:
        """Return the index of the one known word with a capital in mid-sentence, or -1.

        One capital marks a name (``open the folder Music``); several are a way of writing.
        """
        found = [
            index
            for index, piece in enumerate(self.pieces)
            if index
            and not piece.quoted
            and not self.pieces[index - 1].ends_sentence
            and piece.text[0].isupper()
            and piece.text[1:].islower()
            and self._is_known(piece.text.lower())
        ]
        one = len(found) == 1 and self.pieces[found[0]].text.lower() not in NEVER_NAMES
        return found[0] if one else -1

    def _is_known(self, word: str) -> bool:
        return word in self.words or f"{word}+" in self.words


def _kind_of_quoted(content: str) -> Kind:
    if content.startswith(("/", "~/", "./", "../")) and "*" not in content:
        return Kind.PATH
    return Kind.GLOB if "*" in content and not re.search(r"\s", content) else Kind.STR


def _near(word: str, words: frozenset[str]) -> str | None:
    """Return the one known word that a single typing error turns into ``word``."""
    index = _deletions(words)
    candidates: set[str] = set()
    for shorter in (word, *_shortened(word)):
        candidates.update(index.get(shorter, ()))
    near = [known for known in candidates if _one_error_apart(word, known)]
    # The first letter is seldom wrong, and two candidates are a guess.
    near = [known for known in near if known[0] == word[0]] or near
    return near[0] if len(near) == 1 else None


@lru_cache(maxsize=4)
def _deletions(words: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Index every known word by itself and by itself less one letter."""
    index: dict[str, list[str]] = {}
    for word in sorted(marked.removesuffix("+") for marked in words):
        if len(word) >= _MIN_TYPO_LENGTH and word.isalpha():
            for shorter in {word, *_shortened(word)}:
                index.setdefault(shorter, []).append(word)
    return {shorter: tuple(found) for shorter, found in index.items()}


def _shortened(word: str) -> set[str]:
    return {word[:index] + word[index + 1 :] for index in range(len(word))}


def _one_error_apart(typed: str, known: str) -> bool:
    """Whether one letter was left out, added, changed, or two neighbours were swapped."""
    if abs(len(typed) - len(known)) == 1:
        longer, shorter = sorted((typed, known), key=len, reverse=True)
        return shorter in _shortened(longer)
    if len(typed) != len(known):
        return False
    wrong = [
        index for index, pair in enumerate(zip(typed, known, strict=True)) if len(set(pair)) > 1
    ]
    if len(wrong) == 2 and wrong[1] == wrong[0] + 1:
        first, second = wrong
        return typed[first] == known[second] and typed[second] == known[first]
    return len(wrong) == 1
