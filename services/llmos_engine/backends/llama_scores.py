"""How probable tokens are, from the numbers that a model gives out for a place."""

import ctypes
from typing import Any

import numpy as np

from llmos_engine.backends.base import Likelihood, Place
from llmos_engine.backends.llama_vocab import Vocab


def judge(vocab: Vocab, logits: Any, token: int, top: int) -> Place:
    """Judge ``token`` by ``logits``, a pointer to a float for each token of the vocabulary.

    The logarithms are those of the softmax of all logits: before temperature, penalties and
    everything else that a request changes in the choice, as OpenAI and llama.cpp tell them.
    """
    row = np.ctypeslib.as_array(ctypes.cast(logits, ctypes.POINTER(ctypes.c_float)), (vocab.size,))
    highest = row.max()
    # Less the highest one first: the exponential of a logit can be too large for a float.
    total = highest + np.log(np.exp(row - highest, dtype=np.float64).sum())
    best: list[int] = []
    if top:
        some = np.argpartition(row, -top)[-top:]
        best = some[np.argsort(-row[some], kind="stable")].tolist()
    return Place(
        token,
        vocab.written(token),
        float(row[token] - total),
        tuple(Likelihood(one, vocab.written(one), float(row[one] - total)) for one in best),
    )
