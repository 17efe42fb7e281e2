"""Runs on the target's Python: parks a sequence and brings it back, in the engine's own back end.

Prints JSON: milliseconds of each round, and whether the greedy answer went on as without.
"""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from llmos_engine.backends.base import BackendOptions, Feed, Plain, Sampling, Token
from llmos_engine.backends.llama import LlamaBackend
from llmos_engine.models import ModelStore

if TYPE_CHECKING:
    from llmos_engine.backends.llama import LlamaModel

# Always the same one: in other cells of the cache the same sums have another order, and with
# random weights the smallest difference makes another answer.
_SLOT = 0


def main(folder: str, words: str, threads: str, context: str, rounds: str, tokens: str) -> None:
    """Print what the rounds found."""
    options = BackendOptions(threads=int(threads), context=int(context))
    model = LlamaBackend(options).load(ModelStore([Path(folder)]).find(None), lambda _: True)
    prompt = list(model.prompt(Plain(words)).tokens)
    # From here on all but the prompt's last token is in the cache: the same sums in each round.
    _answer(model, _SLOT, prompt, 1)
    model.end(_SLOT)
    expected = _answer(model, _SLOT, prompt, int(tokens))
    model.end(_SLOT)
    found: dict[str, object] = {"prompt": len(prompt)}
    for name, copied in (("aside", False), ("copied", True)):
        seconds, same = [], True
        for _ in range(int(rounds)):
            begun = _answer(model, _SLOT, prompt, int(tokens) // 2)
            before = time.perf_counter()
            parked = model.park(_SLOT)
            if copied:  # as if others had wanted all of its room
                model.cache.make_all_room()
            model.resume(_SLOT, parked)
            seconds.append(time.perf_counter() - before)
            rest = _go_on(model, _SLOT, len(prompt), begun, int(tokens))
            model.end(_SLOT)
            same = same and rest == expected
        found[name] = {"ms": [1000 * second for second in seconds], "same": same}
    print(json.dumps(found))


def _answer(model: "LlamaModel", slot: int, prompt: list[int], tokens: int) -> list[int]:
    """Read the prompt and make ``tokens``; the sequence stays open."""
    held = model.open(slot, prompt, Sampling(temperature=0))
    made: list[int] = []
    while held < len(prompt):
        piece = prompt[held : held + model.shape.batch]
        last = held + len(piece) == len(prompt)
        [outcome] = model.run([Feed(slot, piece, held, last)])
        made = [_number(outcome.made)] if last else []
        held += len(piece)
    return _go_on(model, slot, len(prompt), made, tokens)


def _go_on(model: "LlamaModel", slot: int, prompt: int, made: list[int], tokens: int) -> list[int]:
    made = list(made)
    while len(made) < tokens:
        place = prompt + len(made) - 1
        [outcome] = model.run([Feed(slot, made[-1:], place, True)])
        made.append(_number(outcome.made))
    return made


def _number(made: object) -> int:
    if not isinstance(made, Token):
        raise TypeError(f"no token was made: {made}")
    return made.number


if __name__ == "__main__":
    main(*sys.argv[1:])
