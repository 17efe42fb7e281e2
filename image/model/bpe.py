"""Byte-level BPE as GPT-2 has it, in plain Python; only training needs the tokenizers package.

llama.cpp does the same for ``tokenizer.ggml.model = "gpt2"`` with ``tokenizer.ggml.pre = "gpt-2"``;
the tests compare the two.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_CONTRACTION = re.compile(r"'(?:s|t|re|ve|m|ll|d)")


@cache
def alphabet() -> dict[int, str]:
    """Return the printable character that stands for each byte in tokens."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in printable)
    shifted = {byte: chr(256 + index) for index, byte in enumerate(others)}
    return {byte: shifted.get(byte, chr(byte)) for byte in range(256)}


def pieces(text: str) -> Iterator[str]:
    """Split a text where no merge may reach across.

    GPT-2's expression: contractions; letters, digits or other signs, each with one space before
    them; and white space, of which the last leaves itself to what follows.
    """
    at = 0
    while at < len(text):
        contraction = _CONTRACTION.match(text, at)
        end = contraction.end() if contraction else _end_of_piece(text, at)
        yield text[at:end]
        at = end


def _end_of_piece(text: str, at: int) -> int:
    start = at + 1 if text[at] == " " and at + 1 < len(text) and not text[at + 1].isspace() else at
    if text[start].isspace():
        end = _end_of_run(text, start)
        # One space is left for the word that follows, if it is not all there is.
        return end - 1 if end < len(text) and end - start > 1 else end
    return _end_of_run(text, start)


def _end_of_run(text: str, at: int) -> int:
    kind = _kind(text[at])
    end = at + 1
    while end < len(text) and _kind(text[end]) == kind:
        end += 1
    return end


@cache
def _kind(char: str) -> str:
    if char.isspace():
        return "space"
    category = unicodedata.category(char)[0]
    return category if category in "LN" else "other"


@dataclass(frozen=True)
class Bpe:
    """A vocabulary in the order of its ids, and the merges in the order of their rank."""

    vocabulary: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.vocabulary)}

    @cached_property
    def _ranks(self) -> dict[tuple[str, str], int]:
        return {pair: rank for rank, pair in enumerate(self.merges)}

    @cached_property
    def _known_pieces(self) -> dict[str, list[int]]:
        return {}

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        ids: list[int] = []
        for piece in pieces(text):
            # Requests are made of the same few thousand words.
            found = self._known_pieces.get(piece)
            if found is None:
                found = self._merged(piece)
                self._known_pieces[piece] = found
            ids.extend(found)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; bytes that are no UTF-8 become replacement characters."""
        bytes_of = {char: byte for byte, char in alphabet().items()}
        chars = "".join(self.vocabulary[one] for one in ids)
        return bytes(bytes_of[char] for char in chars).decode("utf-8", "replace")

    def _merged(self, piece: str) -> list[int]:
        symbols = [alphabet()[byte] for byte in piece.encode("utf-8", "surrogatepass")]
        worst = len(self.merges)
        while len(symbols) > 1:
            pairs = list(pairwise(symbols))
            best = min(pairs, key=lambda pair: self._ranks.get(pair, worst))
            if best not in self._ranks:
                break
            symbols = _joined(symbols, best)
        return [self._ids[symbol] for symbol in symbols]

    def as_dict(self) -> dict[str, object]:
        """Return vocabulary and merges for JSON."""
        return {"vocabulary": self.vocabulary, "merges": self.merges}


def _joined(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    at = 0
    while at < len(symbols):
        joins = tuple(symbols[at : at + 2]) == pair
        out.append("".join(pair) if joins else symbols[at])
        at += 2 if joins else 1
    return out


def from_dict(stored: Mapping[str, Any]) -> Bpe:
    """Take back what :meth:`Bpe.as_dict` gave."""
    return Bpe(tuple(stored["vocabulary"]), tuple((one, two) for one, two in stored["merges"]))


def train(texts: Iterable[str], size: int) -> Bpe:
    """Learn a vocabulary of ``size`` tokens, the 256 bytes among them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: PLC0415

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    vocabulary: dict[str, int] = learner.get_vocab()
    merges = json.loads(learner.to_str())["model"]["merges"]
    pairs = (tuple(one.split(" ")) if isinstance(one, str) else tuple(one) for one in merges)
    return Bpe(
        tuple(sorted(vocabulary, key=vocabulary.__getitem__)),
        tuple((one, two) for one, two in pairs),
    )
