"""Evaluation: requests that were never generated, against the commands that are right for them.

A file of requests has one JSON object a line: ``{"request", "intent", "accept": [command, …]}``.
A command is right when it has the words of an accepted one, after quoting is taken off; the
text beside it ("say") is not graded.

    python -m model.evaluate heldout.jsonl --engine /run/llmos/engine.sock
    python -m model.evaluate dev.jsonl --gguf llmos-plan.gguf
    python -m model.evaluate dev.jsonl --weights work/
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from llmos_shell import literals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable


@dataclass(frozen=True)
class Item:
    """A request and the commands that answer it."""

    request: str
    intent: str
    accept: tuple[str, ...]


@dataclass(frozen=True)
class Graded:
    """What the model proposed for a request."""

    item: Item
    slotted: str
    command: str
    right: bool

    def as_text(self) -> str:
        """Describe the answer on four lines."""
        wanted = " or ".join(self.item.accept) or "(nothing)"
        return (
            f"{self.item.intent}: {self.item.request}\n    as {self.slotted}"
            f"\n   got {self.command or '(nothing)'}\n  want {wanted}"
        )


@dataclass(frozen=True)
class Report:
    """The outcome for all requests."""

    graded: tuple[Graded, ...]
    seconds: float

    @property
    def accuracy(self) -> float:
        """The share of right commands."""
        return sum(one.right for one in self.graded) / max(1, len(self.graded))

    def by_intent(self) -> dict[str, tuple[int, int]]:
        """Return right and all requests of each intent, in the order of the table."""
        right = Counter(one.item.intent for one in self.graded if one.right)
        every = Counter(one.item.intent for one in self.graded)
        return {intent: (right[intent], count) for intent, count in every.items()}

    def as_json(self) -> str:
        """Return the report for programs."""
        wrong = [
            {"request": one.item.request, "intent": one.item.intent, "command": one.command}
            for one in self.graded
            if not one.right
        ]
        return json.dumps(
            {
                "requests": len(self.graded),
                "right": sum(one.right for one in self.graded),
                "accuracy": round(self.accuracy, 4),
                "seconds": round(self.seconds, 1),
                "by_intent": self.by_intent(),
                "wrong": wrong,
            },
            indent=2,
            ensure_ascii=False,
        )

    def as_text(self, *, show_wrong: bool) -> str:
        """Return the report for people."""
        lines = [
            f"{name:20} {right:3}/{every}" for name, (right, every) in self.by_intent().items()
        ]
        if show_wrong:
            lines += [one.as_text() for one in self.graded if not one.right]
        right = sum(one.right for one in self.graded)
        share = f"{100 * self.accuracy:.1f} %"
        lines.append(f"right: {right} of {len(self.graded)} ({share}) in {self.seconds:.0f} s")
        return "\n".join(lines)


class Model(Protocol):
    """Something that answers a slotted request with a plan."""

    words: frozenset[str]

    async def answer(self, text: str) -> str:
        """Return the answer to a slotted request."""


def read(path: Path) -> list[Item]:
    """Read a file of requests."""
    rows = (json.loads(line) for line in path.read_text().splitlines() if line.strip())
    return [Item(row["request"], row["intent"], tuple(row["accept"])) for row in rows]


async def evaluate(items: Iterable[Item], model: Model) -> Report:
    """Ask a model every request and grade its commands."""
    started = time.monotonic()
    graded = []
    for item in items:
        slotted = literals.encode(item.request, model.words)
        command = command_of(await model.answer(slotted.text), slotted)
        right = any(same_command(command, accepted) for accepted in item.accept)
        graded.append(Graded(item, slotted.text, command, right))
    return Report(tuple(graded), time.monotonic() - started)


def command_of(answer: str, slotted: literals.Slotted) -> str:
    """Return the command of an answer with its slots filled, or why there is none."""
    try:
        return literals.fill(json.loads(answer)["command"], slotted.literals)
    except (ValueError, KeyError, TypeError) as error:
        return f"# no command: {error}"


def same_command(one: str, other: str) -> bool:
    """Whether two commands have the same words; quoting does not count."""
    return _words(one) == _words(other)


def _words(command: str) -> list[str]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        return [command]


class EngineModel:
    """The real engine over its socket, asked exactly as the shell asks it."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.words: frozenset[str] = frozenset()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[EngineModel]:
        """Connect and read the word list."""
        from llmos_api import EngineClient, EngineError  # noqa: PLC0415 (the train extra has none)

        try:
            async with EngineClient(self._socket) as self._client:
                models = await self._client.models()
                words = literals.words_of(models[0].meta) if models else None
                if words is None:
                    sys.exit(f"the engine at {self._socket} has no model with slots")
                self.words = words
                yield self
        except EngineError as error:
            sys.exit(f"model.evaluate: {error}")

    async def answer(self, text: str) -> str:
        """Ask the engine."""
        from llmos_shell.plan import chat_request  # noqa: PLC0415 (see connected)

        completion = await self._client.chat(chat_request(text))
        content = completion.choices[0].message.content
        return content if isinstance(content, str) else ""


class LlamaModel:
    """A GGUF in llama-cpp-python, without the engine and without a grammar."""

    def __init__(self, path: Path, threads: int = 2) -> None:
        import llama_cpp  # noqa: PLC0415 (only this way of asking needs it)

        self._llama = llama_cpp.Llama(
            str(path), n_ctx=512, n_threads=threads, verbose=False, logits_all=False
        )
        words = literals.words_of(self._llama.metadata)
        if words is None:
            sys.exit(f"{path}: this model has no slots")
        self.words = words

    async def answer(self, text: str) -> str:
        """Ask llama.cpp."""
        messages = [{"role": "user", "content": text}]
        made = self._llama.create_chat_completion(messages, temperature=0.0, max_tokens=128)
        return str(made["choices"][0]["message"]["content"])


class TorchModel:
    """Weights as the training left them, before export."""

    def __init__(self, folder: Path) -> None:
        from model import tokenizer, train  # noqa: PLC0415 (only this way of asking needs them)

        self._prompt_text = tokenizer.prompt_text
        self._tokenizer = tokenizer.load(folder / "tokenizer.json")
        self._network = train.load(folder / "weights.pt")
        self.words = frozenset((folder / "words").read_text().split())

    async def answer(self, text: str) -> str:
        """Run the network."""
        prompt = self._tokenizer.encode(self._prompt_text(text))
        end = self._tokenizer.encode("</s>")[0]
        return self._tokenizer.decode(self._network.complete(prompt, end))


async def run(arguments: argparse.Namespace) -> Report:
    """Evaluate as the command line says."""
    items = read(arguments.requests)
    async with AsyncExitStack() as stack:
        model: Model
        if arguments.engine is not None:
            model = await stack.enter_async_context(EngineModel(arguments.engine).connected())
        elif arguments.gguf is not None:
            model = LlamaModel(arguments.gguf)
        else:
            model = TorchModel(arguments.weights)
        return await evaluate(items, model)


def main() -> None:
    """Run the evaluation from the command line."""
    parser = argparse.ArgumentParser(prog="model.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("requests", type=Path, help="file of requests (JSON lines)")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--engine", type=Path, metavar="SOCKET", help="the socket of a real engine")
    which.add_argument("--gguf", type=Path, metavar="FILE", help="a GGUF, through llama_cpp")
    which.add_argument("--weights", type=Path, metavar="FOLDER", help="what the training left")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--wrong", action="store_true", help="show every wrong answer")
    arguments = parser.parse_args()
    try:
        report = asyncio.run(run(arguments))
    except OSError as error:
        sys.exit(f"model.evaluate: {error}")
    print(report.as_json() if arguments.json else report.as_text(show_wrong=arguments.wrong))


if __name__ == "__main__":
    main()
