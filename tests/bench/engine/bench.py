"""What the rows of the benchmark share: the model, the servers, how much of each."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click

from tests.bench.engine.models import MODELS, Model, prompt
from tests.bench.engine.servers import Launcher, Server

SLOTS: Final = 8
"""Streams of the smaller of the two crowds, and slots of llama-server where one crowd is enough."""


@dataclass(frozen=True)
class Plan:
    """How much is measured; all lengths in tokens."""

    rounds: int
    models: Sequence[Model]
    context: int
    decode: int
    prefill: int
    crowd: int
    """Of each stream's answer, where several run side by side."""
    batch: int
    """Of a batch request's prompt, beside which somebody reads along."""
    prefix: int
    parked: int = 2048


QUICK: Final = Plan(
    2,
    MODELS[:1],
    4096,
    decode=32,
    prefill=256,
    crowd=16,
    batch=1024,
    prefix=1024,
    parked=1024,
)
USUAL: Final = Plan(
    3, (MODELS[0], MODELS[3]), 12_288, decode=128, prefill=1024, crowd=64, batch=8192, prefix=4096
)
FULL: Final = Plan(5, MODELS, 12_288, decode=256, prefill=2048, crowd=128, batch=8192, prefix=4096)


@dataclass
class Bench:
    """One model, and who runs it."""

    model: Model
    file: Path
    plan: Plan
    launcher: Launcher
    where: str = ""
    """What is measured just now, for whoever waits."""
    _seeds: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def engine(self) -> Server:
        """Ours."""
        return self.launcher.engine(self.file)

    def llama_server(self, slots: int = SLOTS) -> Server:
        """llama.cpp's."""
        return self.launcher.llama_server(self.file, slots)

    def prompt(self, tokens: int) -> str:
        """A prompt that nobody has read yet."""
        return prompt(tokens, next(self._seeds))

    def seed(self) -> int:
        """A number that was not there before."""
        return next(self._seeds)

    def rounds(self, what: str) -> Iterator[int]:
        """Count the rounds, and say so."""
        for number in range(self.plan.rounds):
            self.say(f"{what}, round {number + 1} of {self.plan.rounds}")
            yield number

    def say(self, what: str) -> None:
        """Tell whoever waits how far it is."""
        click.echo(f"{self.where}: {what}", err=True)

    def label(self, measure: str) -> str:
        """A measure with the model's name."""
        return f"{measure}, {self.model.name}"
