"""A model's vocabulary: text to tokens and back."""

import ctypes
import struct
from collections.abc import Collection
from typing import Any, Final

import numpy as np

HIDDEN_ATTRIBUTES: Final = 1 << 0 | 1 << 3
"""``LLAMA_TOKEN_ATTR_UNKNOWN`` and ``_CONTROL``: tokens that stand for no text."""


class Vocab:
    """The vocabulary of one loaded model, read once."""

    def __init__(self, lib: Any, vocab: Any) -> None:
        self._lib = lib
        self.pointer = vocab
        self.size = int(lib.llama_vocab_n_tokens(vocab))
        self.bos = int(lib.llama_vocab_bos(vocab))
        self.eos = int(lib.llama_vocab_eos(vocab))
        self.infill = tuple(
            int(token(vocab))
            for token in (lib.llama_vocab_fim_pre, lib.llama_vocab_fim_suf, lib.llama_vocab_fim_mid)
        )
        """The tokens before a text, before what comes after it, and before what is missing."""
        self._adds_bos = bool(lib.llama_vocab_get_add_bos(vocab)) and self.bos >= 0
        self.ends = frozenset(t for t in range(self.size) if lib.llama_vocab_is_eog(vocab, t))
        self.hidden = frozenset(
            t for t in range(self.size) if lib.llama_vocab_get_attr(vocab, t) & HIDDEN_ATTRIBUTES
        )
        self.longest = max(len(lib.llama_vocab_get_text(vocab, t)) for t in range(self.size))
        # An array of llama_token_data (id, logit, p) with every token in it: what a sampler
        # begins with. Made once, because it takes long in Python.
        self._candidates = b"".join(struct.pack("iff", token, 0, 0) for token in range(self.size))
        self._scratch = (lib.llama_token_data * self.size)()
        self._logits = np.frombuffer(self._scratch, np.dtype("i4, f4, f4"))["f1"]
        self._buffer = ctypes.create_string_buffer(256)
        # Those that begin with the second or a later byte of a character.
        self._continuing = [
            token for token in range(self.size) if 0x80 <= (self.piece(token) or b"\0")[0] < 0xC0
        ]

    def candidates(
        self, logits: Any, *, without: Collection[int] = (), continuing: bool = False
    ) -> Any:
        """Return all tokens with their ``logits``, a pointer to a float for each.

        Those of ``without`` cannot be chosen, and with ``continuing`` only those that go on with
        a character. They are in one place, and hold until the next call: samplers sort and
        shorten them.
        """
        ctypes.memmove(self._scratch, self._candidates, len(self._candidates))
        floats = ctypes.cast(logits, ctypes.POINTER(ctypes.c_float))
        row = np.ctypeslib.as_array(floats, (self.size,))
        if continuing:
            self._logits[:] = -np.inf
            self._logits[self._continuing] = row[self._continuing]
        else:
            self._logits[:] = row
        if without:
            self._logits[list(without)] = -np.inf
        return self._scratch

    @property
    def hidden_texts(self) -> list[str]:
        """How the hidden tokens are written where they are read as such."""
        return [self.text(token) for token in self.hidden]

    def text(self, token: int) -> str:
        """Return a token as the vocabulary writes it; empty for the token -1, "none"."""
        if token < 0:
            return ""
        raw: bytes = self._lib.llama_vocab_get_text(self.pointer, token)
        return raw.decode(errors="replace")

    def piece(self, token: int) -> bytes:
        """Return the bytes that a token adds to an answer; none for a hidden token."""
        lib, vocab = self._lib, self.pointer
        size = lib.llama_token_to_piece(vocab, token, self._buffer, len(self._buffer), 0, False)
        if size < 0:
            self._buffer = ctypes.create_string_buffer(-size)
            size = lib.llama_token_to_piece(vocab, token, self._buffer, -size, 0, False)
        return self._buffer.raw[:size]

    def written(self, token: int) -> bytes:
        """Return the bytes of a token, of a hidden one as it is written."""
        return self.text(token).encode() if token in self.hidden else self.piece(token)

    def tokenize(self, text: bytes, *, special: bool = True) -> list[int]:
        """Cut a text into tokens; with ``special`` control tokens are read as such."""
        room = len(text) + 8
        tokens = (ctypes.c_int32 * room)()
        cut = self._lib.llama_tokenize
        count = cut(self.pointer, text, len(text), tokens, room, False, special)
        if count < 0:
            tokens = (ctypes.c_int32 * -count)()
            count = cut(self.pointer, text, len(text), tokens, -count, False, special)
        return list(tokens[: max(count, 0)])

    def begun(self, tokens: list[int]) -> list[int]:
        """Put the token before ``tokens`` that begins a text, where the model wants one.

        llama.cpp would add the end of sequence too, for models that are so configured: in the
        middle of a conversation that is wrong. Many templates write the beginning.
        """
        if self._adds_bos and tokens[:1] != [self.bos]:
            return [self.bos, *tokens]
        return tokens
