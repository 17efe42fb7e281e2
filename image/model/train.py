"""Training: AdamW on a stream of generated examples, with a fixed seed."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from model import tokenizer as tokenizers
from model.network import Network, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor

    from model.data import Generator
    from model.tokenizer import PlanTokenizer

IGNORED = -100


@dataclass(frozen=True)
class Recipe:
    """Everything besides the data that decides what comes out."""

    seed: int = 2026
    steps: int = 700
    batch: int = 256
    # Batches that are drawn together and sorted by length, so that little is padding.
    pool: int = 16
    peak_rate: float = 2e-3
    warm_up: int = 200
    weight_decay: float = 0.1
    dropout: float = 0.0
    # The request itself is learned a little too: it teaches the words what company they keep.
    request_weight: float = 0.1


@dataclass(frozen=True)
class Progress:
    """Where the training stands."""

    step: int
    loss: float
    tokens_per_second: float
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Batch:
    """Ids (batch, time), the targets of each place, and the weight of each target."""

    ids: Tensor
    targets: Tensor
    weights: Tensor


def batches(generator: Generator, tokenizer: PlanTokenizer, recipe: Recipe) -> Iterator[Batch]:
    """Yield batches of requests and answers, similar lengths together."""
    order = torch.Generator().manual_seed(recipe.seed)
    examples = generator.examples()
    while True:
        rows = []
        for _ in range(recipe.batch * recipe.pool):
            example = next(examples)
            prompt = tokenizer.encode(tokenizers.prompt_text(example.slotted.text))
            rows.append((prompt, tokenizer.encode(example.answer + tokenizers.END)))
        rows.sort(key=lambda row: len(row[0]) + len(row[1]))
        for place in torch.randperm(recipe.pool, generator=order).tolist():
            yield _batch(rows[place * recipe.batch : (place + 1) * recipe.batch], recipe)


def _batch(rows: list[tuple[list[int], list[int]]], recipe: Recipe) -> Batch:
    length = max(len(prompt) + len(answer) for prompt, answer in rows) - 1
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    targets = torch.full((len(rows), length), IGNORED, dtype=torch.long)
    weights = torch.zeros(len(rows), length)
    for row, (prompt, answer) in enumerate(rows):
        whole = torch.tensor([*prompt, *answer])
        end = len(whole) - 1
        ids[row, :end] = whole[:-1]
        targets[row, :end] = whole[1:]
        weights[row, :end] = recipe.request_weight
        weights[row, len(prompt) - 1 : end] = 1.0
    return Batch(ids, targets, weights)


def loss_of(network: Network, batch: Batch) -> Tensor:
    """Return the weighted mean cross-entropy."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(batch.ids)
    each = functional.cross_entropy(
        logits.flatten(0, 1).float(),
        batch.targets.flatten(),
        ignore_index=IGNORED,
        reduction="none",
    )
    weights = batch.weights.flatten()
    return (each * weights).sum() / weights.sum()


def train(
    shape: Shape,
    recipe: Recipe,
    generator: Generator,
    tokenizer: PlanTokenizer,
    report: Callable[[Progress], None],
) -> Network:
    """Train a network from nothing; ``report`` is called every hundred steps and at the end."""
    torch.manual_seed(recipe.seed)
    network = Network(shape, recipe.dropout)
    optimiser = torch.optim.AdamW(
        _groups(network, recipe), lr=recipe.peak_rate, betas=(0.9, 0.98), fused=True
    )
    network.train()
    started, cpu_started, tokens, recent = time.monotonic(), time.process_time(), 0, 0.0
    for step, batch in enumerate(batches(generator, tokenizer, recipe), start=1):
        for group in optimiser.param_groups:
            group["lr"] = _rate(step, recipe)
        loss = loss_of(network, batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        tokens += int((batch.targets != IGNORED).sum())
        recent = loss.item() if step == 1 else 0.98 * recent + 0.02 * loss.item()
        if step % 100 == 0 or step == recipe.steps:
            seconds = time.monotonic() - started
            cpu = time.process_time() - cpu_started
            report(Progress(step, recent, tokens / seconds, seconds, cpu))
        if step == recipe.steps:
            break
    return network


def _groups(network: Network, recipe: Recipe) -> list[dict[str, object]]:
    """Decay matrices only; norms have nothing to decay to."""
    matrices = [weight for weight in network.parameters() if weight.dim() == 2]
    vectors = [weight for weight in network.parameters() if weight.dim() != 2]
    return [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def _rate(step: int, recipe: Recipe) -> float:
    """Return the learning rate: a linear rise, then half a cosine down to nothing."""
    if step < recipe.warm_up:
        return recipe.peak_rate * step / recipe.warm_up
    share = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    return recipe.peak_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


def save(network: Network, path: Path) -> None:
    """Write weights and shape, for export."""
    torch.save({"shape": asdict(network.shape), "weights": network.state_dict()}, path)


def load(path: Path) -> Network:
    """Read what :func:`save` wrote."""
    stored = torch.load(path, weights_only=True)
    network = Network(Shape(**stored["shape"]))
    network.load_state_dict(stored["weights"])
    network.eval()
    return network
