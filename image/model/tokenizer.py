"""The tokenizer: byte-level BPE for words, and whole tokens for slots and for parts of plans.

llama.cpp reads it as a ``gpt2`` tokenizer with the ``gpt-2`` pre-tokenizer. Three groups of
tokens stand before the BPE's own:

- control: begin, end, and the mark after which the plan begins;
- user-defined: every slot, and every constant part of a plan between two slots. A plan is a
  handful of tokens that way, which is what makes the model quick on a slow processor;
- the 256 bytes and the merges.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby
from typing import TYPE_CHECKING

from llmos_shell.literals import OTHER
from llmos_shell.slots import SLOTS_OF_A_KIND, Kind
from model import bpe
from model import grammar as grammars
from model.data import plan_text
from model.intents import INTENTS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from model.bpe import Bpe

BEGIN, END, PLAN = "<s>", "</s>", "<plan>"
CONTROL = (BEGIN, END, PLAN)
# Renders the last message of the user only: the model is trained on nothing else, and a system
# prompt would take it out of its depth.
CHAT_TEMPLATE = (
    "{%- set found = namespace(text='') -%}"
    "{%- for message in messages -%}{%- if message['role'] == 'user' -%}"
    "{%- set found.text = message['content'] -%}"
    "{%- endif -%}{%- endfor -%}"
    f"{{{{- '{BEGIN} ' + (found.text | trim) + '{PLAN}' -}}}}"
)
_ROLE = re.compile(r"\{\w+(?::[^}]*)?\}")


def prompt_text(text: str) -> str:
    """Return a slotted request as the chat template renders it."""
    return f"{BEGIN} {text.strip()}{PLAN}"


def slot_tokens() -> tuple[str, ...]:
    """Return every slot, with and without a space before it.

    Most slots follow a space, in requests as in commands; one token for both makes the two the
    same token, and copying it the simplest thing to learn.
    """
    slots = [f"<{kind.value}{n}>" for kind in Kind for n in range(1, SLOTS_OF_A_KIND + 1)]
    lowered = [f"<{Kind.STR.value}{n}:lower>" for n in range(1, SLOTS_OF_A_KIND + 1)]
    return tuple(space + slot for slot in (*slots, *lowered, OTHER) for space in ("", " "))


def constants() -> tuple[str, ...]:
    """Return what may stand in place of a slot: defaults, and values that words carry."""
    defaults = {
        default
        for intent in INTENTS.values()
        for form in intent.forms
        for default in form.roles.values()
        if default
    }
    return tuple(sorted(defaults | {value for _, value in grammars.load().tags()}))


def plan_parts() -> tuple[str, ...]:
    """Return the constant parts of all plans, as they stand between slots."""
    parts: set[str] = set()
    seam = '", "command": "'
    for intent in INTENTS.values():
        for form in intent.forms:
            plan = plan_text(form.say, _ROLE.sub("\0", form.command))
            say, _, command = plan.partition(seam)
            parts.add(say)
            # json.dumps writes the NUL that stands for a role as an escape. The space before a
            # role belongs to what fills it.
            found = (part.rstrip(" ") for part in (seam + command).split("\\u0000"))
            # What might stand in a request is left to the BPE: it would take words apart there.
            parts.update(part for part in found if not re.fullmatch(r"[a-z' ~]*", part))
    return tuple(sorted(parts))


@dataclass(frozen=True)
class PlanTokenizer:
    """A trained tokenizer; encodes as llama.cpp does.

    ``added`` are the control and the user-defined tokens; the ids of the BPE follow theirs.
    """

    added: tuple[str, ...]
    bpe: Bpe

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """All tokens in the order of their ids; those of the BPE in its byte alphabet."""
        return (*self.added, *self.bpe.vocabulary)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.added)}

    @cached_property
    def _splitter(self) -> re.Pattern[str]:
        longest_first = sorted(self.added, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest_first))})")

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; tokens of all groups are recognised."""
        ids: list[int] = []
        for part in self._splitter.split(text):
            if part in self._ids:
                ids.append(self._ids[part])
            elif part:
                ids.extend(len(self.added) + one for one in self.bpe.encode(part))
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids without control tokens."""
        out: list[str] = []
        for is_added, run in groupby(ids, key=lambda one: one < len(self.added)):
            if is_added:
                out.extend(self.added[one] for one in run if one >= len(CONTROL))
            else:
                out.append(self.bpe.decode(one - len(self.added) for one in run))
        return "".join(out)

    def save(self, path: Path) -> None:
        """Write the tokenizer as JSON."""
        path.write_text(json.dumps({"added": self.added, **self.bpe.as_dict()}))


def train(texts: Iterable[str], size: int) -> PlanTokenizer:
    """Train a tokenizer with ``size`` tokens in all on slotted requests."""
    added = (*CONTROL, *slot_tokens(), *plan_parts())
    plain = (f" {re.sub(r'<[a-z]+[0-9]*>', '', text)}" for text in texts)
    often = [text for one in constants() for text in (one, f" {one}")] * 100
    return PlanTokenizer(added, bpe.train(chain(plain, often), size - len(added)))


def load(path: Path) -> PlanTokenizer:
    """Read a tokenizer that :meth:`PlanTokenizer.save` wrote."""
    stored = json.loads(path.read_text())
    return PlanTokenizer(tuple(stored["added"]), bpe.from_dict(stored))
