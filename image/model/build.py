"""The whole recipe in one command: data, tokenizer, training, export.

    python -m model.build                       # image/model/llmos-plan-v0.gguf, ~12 minutes
    python -m model.build --steps 50 --out /tmp/x.gguf   # a quick look at the whole way

Needs the dependencies of the ``train`` extra, two processor cores and about 3 GiB of memory.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

import torch

from model import evaluate, export, tokenizer, train
from model.data import Generator, normal
from model.network import Shape

HERE = Path(__file__).parent
VERSION = "v0"
TOKENIZER_SIZE = 3072
TOKENIZER_EXAMPLES = 40_000
DATA_SEED = 1


def build(out: Path, work: Path, recipe: train.Recipe, threads: int) -> None:
    """Make the GGUF ``out``; tokenizer, words and weights stay in ``work``."""
    torch.set_num_threads(threads)
    held_out = evaluate.read(HERE / "heldout.jsonl")
    excluded = frozenset(normal(item.request) for item in held_out)
    generator = Generator(DATA_SEED, excluded=excluded)
    sample = itertools.islice(generator.examples(), TOKENIZER_EXAMPLES)
    vocabulary = tokenizer.train((one.slotted.text for one in sample), TOKENIZER_SIZE)
    shape = Shape(len(vocabulary.tokens), layers=4)
    network = train.train(shape, recipe, generator, vocabulary, report)
    vocabulary.save(work / "tokenizer.json")
    (work / "words").write_text(" ".join(sorted(generator.words)))
    train.save(network, work / "weights.pt")
    export.export(network, vocabulary, generator.words, VERSION, out)
    print(f"{out}: {network.parameter_count():,} parameters, {out.stat().st_size:,} bytes")


def report(progress: train.Progress) -> None:
    """Print where the training stands."""
    print(
        f"step {progress.step:5}  loss {progress.loss:.4f}  "
        f"{progress.tokens_per_second:,.0f} tokens/s  {progress.seconds / 60:.1f} min  "
        f"{progress.cpu_seconds / 60:.1f} CPU min",
        flush=True,
    )


def main() -> None:
    """Run the recipe from the command line."""
    default = train.Recipe()
    parser = argparse.ArgumentParser(prog="model.build", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / f"llmos-plan-{VERSION}.gguf")
    parser.add_argument("--work", type=Path, help="keep tokenizer and weights in this folder")
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    recipe = train.Recipe(steps=arguments.steps)
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        build(arguments.out, work, recipe, arguments.threads)


if __name__ == "__main__":
    main()
