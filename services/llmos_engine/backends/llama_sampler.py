"""Chooses the next token, inside a grammar when there is one."""

import codecs
import ctypes
import math
import secrets
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Final

from llmos_engine.backends.base import Sampling
from llmos_engine.backends.llama_vocab import Vocab
from llmos_engine.errors import InvalidRequest

RANDOM_SEED: Final = 0xFFFFFFFF
"""llama.cpp takes this one as "choose a seed yourself"."""

PENALTY_REACH: Final = 1 << 16
"""Tokens of the answer that the penalties look back to."""


class Sampler:
    """The sampler of one answer; :meth:`close` frees its C side.

    A grammar is only asked about the token that was chosen without it, and applied to the
    whole vocabulary when it rejects that one: milliseconds, against microseconds.

    Nothing is ever given to ``llama_sampler_accept`` that the grammar has not approved:
    there it would be a C++ exception, and the end of the process.
    """

    def __init__(self, lib: Any, vocab: Vocab, sampling: Sampling) -> None:
        self._lib = lib
        self._vocab = vocab
        self.logprobs = sampling.logprobs
        """How many tokens beside the one that was chosen are to be told; None tells nothing."""
        self.markers = sampling.markers
        if beyond := [token for token in sampling.bias if token >= vocab.size]:
            raise InvalidRequest(
                f"there is no token {beyond[0]}: the model has {vocab.size}",
                param="logit_bias",
                code="invalid_value",
            )
        self._chain = self._make_chain(sampling)
        self._grammar = None
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._awaited = ""
        """What the answer has to say before the grammar holds; empty when it holds."""
        self._said = ""
        if sampling.constraint is not None:
            self._awaited = sampling.constraint.after or ""
            grammar = sampling.constraint.grammar.encode()
            self._grammar = lib.llama_sampler_init_grammar(vocab.pointer, grammar, b"root")
            if not self._grammar:
                self.close()
                raise InvalidRequest(
                    "the schema cannot be followed: a part of it refers to nothing but itself",
                    param="response_format",
                    code="unsupported_schema",
                )

    def close(self) -> None:
        """Free the C side."""
        chain, self._chain = self._chain, None
        grammar, self._grammar = self._grammar, None
        for sampler in (chain, grammar):
            if sampler:
                self._lib.llama_sampler_free(sampler)

    def next(self, context: Any, index: int) -> int | None:
        """Return the token that follows the batch's token ``index``; None at the end.

        Raises :class:`~llmos_engine.errors.InvalidRequest` when the grammar allows no token
        of this vocabulary.
        """
        if not self._holds:
            # The whole of it in C; the penalties learn of the token there.
            token = int(self._lib.llama_sampler_sample(self._chain, context, index))
            if token in self._vocab.ends:
                return None
            if self._grammar is not None:
                self._await(token)
            return token
        token = self._choose(context, index)
        if not (self._is_text(token) and self._fits(token)):
            token = self._choose_constrained(context, index)
        if token in self._vocab.ends:
            return None
        # The penalties look at what was said.
        self._lib.llama_sampler_accept(self._chain, token)
        self._lib.llama_sampler_accept(self._grammar, token)
        self._utf8.decode(self._vocab.piece(token))
        return token

    @property
    def _holds(self) -> bool:
        """Whether the grammar has a say in the next token."""
        return self._grammar is not None and not self._awaited

    def _await(self, token: int) -> None:
        """Look whether the answer has said what the grammar waits for.

        What a token says beyond that has to fit already, or the grammar is given up: it is too
        late to choose another token.
        """
        self._said += self._vocab.written(token).decode(errors="replace")
        _, found, beyond = self._said.partition(self._awaited)
        self._said = self._said[1 - len(self._awaited) :]
        if not found:
            return
        for one in self._vocab.tokenize(beyond.encode()) if beyond else ():
            if not (self._is_text(one) and self._fits(one)):
                self._lib.llama_sampler_free(self._grammar)
                self._grammar = None
                return
            self._lib.llama_sampler_accept(self._grammar, one)
            self._utf8.decode(self._vocab.piece(one))
        self._awaited = ""

    def _choose_constrained(self, context: Any, index: int) -> int:
        rejected = set(self._vocab.hidden - self._vocab.ends)
        while True:
            token = self._choose(context, index, rejected)
            if not self._fits(token):  # not even one is left
                raise InvalidRequest(
                    "the model has no token with which the answer could go on in this format",
                    param="response_format",
                    code="format_impossible",
                )
            if self._is_text(token):
                return token
            rejected.add(token)

    def _choose(self, context: Any, index: int, rejected: AbstractSet[int] | None = None) -> int:
        """Run the chain; with ``rejected`` only over what the grammar allows beside them."""
        lib, vocab = self._lib, self._vocab
        logits = lib.llama_get_logits_ith(context, index)
        constrained = rejected is not None
        candidates = vocab.candidates(
            logits, without=rejected or (), continuing=constrained and bool(self._pending)
        )
        found = lib.llama_token_data_array(candidates, vocab.size, -1, False)
        if constrained:
            lib.llama_sampler_apply(self._grammar, ctypes.byref(found))
        lib.llama_sampler_apply(self._chain, ctypes.byref(found))
        # The chain may point `data` at memory of its own.
        return int(found.data[max(found.selected, 0)].id)

    def _fits(self, token: int) -> bool:
        """Whether the grammar allows this token next."""
        lib = self._lib
        one = lib.llama_token_data(token, 1.0, 0.0)
        found = lib.llama_token_data_array(ctypes.pointer(one), 1, -1, False)
        lib.llama_sampler_apply(self._grammar, ctypes.byref(found))
        return not math.isinf(one.logit)

    @property
    def _pending(self) -> bytes:
        """The beginning of a character whose end has not come yet."""
        return self._utf8.getstate()[0]

    def _is_text(self, token: int) -> bool:
        """Whether a token keeps the answer text, which the grammar takes for granted.

        A control token is ``<|x|>`` for the grammar and nothing in the answer. And llama.cpp
        takes any byte for the rest of a character that has begun: with a quotation mark in
        that place the string in the answer ends, and in the grammar it goes on.
        """
        if token in self._vocab.ends:
            return not self._pending
        if token in self._vocab.hidden:
            return False
        before = self._utf8.getstate()
        try:
            self._utf8.decode(self._vocab.piece(token))
            # Python notices a surrogate (ED A0 to ED BF) with its third byte: too late.
            return not (self._pending[:1] == b"\xed" and self._pending[1:] >= b"\xa0")
        except UnicodeDecodeError:
            return False
        finally:
            self._utf8.setstate(before)

    def _make_chain(self, sampling: Sampling) -> Any:
        lib = self._lib
        params = lib.llama_sampler_chain_default_params()
        params.no_perf = True
        chain = lib.llama_sampler_chain_init(params)
        for link in self._links(sampling):
            lib.llama_sampler_chain_add(chain, link)
        return chain

    def _links(self, sampling: Sampling) -> Iterator[Any]:
        """The chain in its order: what changes logits, what leaves tokens out, what chooses."""
        lib, size = self._lib, self._vocab.size
        if sampling.bias:
            biases = (lib.llama_logit_bias * len(sampling.bias))(*sampling.bias.items())
            yield lib.llama_sampler_init_logit_bias(size, len(biases), biases)
        if sampling.frequency_penalty or sampling.presence_penalty:
            yield lib.llama_sampler_init_penalties(
                size, PENALTY_REACH, 1.0, sampling.frequency_penalty, sampling.presence_penalty
            )
        if sampling.temperature <= 0:
            yield lib.llama_sampler_init_greedy()
            return
        if sampling.top_k > 0:
            yield lib.llama_sampler_init_top_k(sampling.top_k)
        yield lib.llama_sampler_init_top_p(sampling.top_p, 1)
        if sampling.min_p > 0:
            yield lib.llama_sampler_init_min_p(sampling.min_p, 1)
        yield lib.llama_sampler_init_temp(sampling.temperature)
        seed = secrets.randbelow(RANDOM_SEED) if sampling.seed is None else sampling.seed
        yield lib.llama_sampler_init_dist(seed % RANDOM_SEED)
