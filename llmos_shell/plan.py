"""From a request to a plan: what the model is asked, and what its answer may be.

The envelope is constrained, the command in it is free text: constraining more than the
format makes small models worse. Everything about danger is decided elsewhere, from the
command itself.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from llmos_shell import instructions, literals
from llmos_shell.errors import NotSure
from llmos_shell.policy import Policy

if TYPE_CHECKING:
    from llmos_api import ChatRequest

MAX_TOKENS: Final = 256

ENVELOPE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"say": {"type": "string"}, "command": {"type": "string"}},
    "required": ["say", "command"],
    "additionalProperties": False,
}
"""The shape of a plan: one sentence, then a line for bash or "" when nothing should run."""

REPHRASE: Final = "Say it in other words, or type the command itself after a !"

FENCE: Final = re.compile(r"```(?:json|bash|sh)?\s*\n(.*?)```", re.DOTALL)
TICKS: Final = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the model proposes; ``command`` is "" when nothing should run."""

    say: str
    command: str


class Model(Protocol):
    """Somebody who answers: the engine link."""

    async def meta(self) -> Mapping[str, str]:
        """Return the ``llmos.*`` keys of the model."""

    async def chat(self, request: "ChatRequest") -> str:
        """Return the answer."""


async def make_plan(
    request: str, model: Model, policy: Policy, is_program: Callable[[str], bool]
) -> Plan:
    """Ask ``model`` for a plan and check it.

    Raises :class:`~llmos_shell.errors.NotSure` when the answer is no command that could run
    here, and :class:`~llmos_shell.errors.EngineAway` when there is no answer.
    """
    words = literals.words_of(await model.meta())
    if words is None:
        plan = parse_answer(await model.chat(chat_request(request)))
    else:
        slotted = literals.encode(request, words)
        answer = parse_answer(await model.chat(chat_request(slotted.text)))
        plan = _filled(answer, slotted)
    check(plan, policy, is_program)
    return plan


def chat_request(text: str) -> "ChatRequest":
    """Build the request for one plan."""
    from llmos_api import (  # noqa: PLC0415 - imported by the time somebody asks
        ChatMessage,
        ChatRequest,
        JsonSchema,
        JsonSchemaFormat,
    )

    return ChatRequest(
        messages=(ChatMessage.system(instructions.system()), ChatMessage.user(text)),
        max_tokens=MAX_TOKENS,
        temperature=0.0,
        response_format=JsonSchemaFormat(JsonSchema("plan", ENVELOPE_SCHEMA)),
    )


def parse_answer(answer: str) -> Plan:
    """Read a plan out of whatever a model answered; raises NotSure when there is none."""
    fenced = FENCE.findall(answer)
    for text in (answer, *fenced, answer[answer.find("{") : answer.rfind("}") + 1]):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and isinstance(found.get("command"), str):
            say = found.get("say")
            return Plan(_sentence(say if isinstance(say, str) else ""), found["command"].strip())
    if fenced and not fenced[0].lstrip().startswith("{"):
        return Plan("", fenced[0].strip())
    if ticks := TICKS.findall(answer):
        return Plan(_sentence(TICKS.sub(r"\1", answer)), ticks[0].strip())
    raise NotSure("The model's answer is not a plan.", hint=REPHRASE)


def check(plan: Plan, policy: Policy, is_program: Callable[[str], bool]) -> None:
    """Raise NotSure unless bash would accept the command and its programs are here."""
    if not plan.command:
        return
    if policy.parse(plan.command).broken:
        raise NotSure(
            f"The model proposed something that bash would not accept: {plan.command!r}",
            hint=REPHRASE,
        )
    missing = [name for name in policy.programs(plan.command) if not is_program(name)]
    if missing:
        raise NotSure(
            f"The model proposed {plan.command!r}, but there is no {missing[0]} here.",
            hint=REPHRASE,
        )


def _filled(plan: Plan, slotted: literals.Slotted) -> Plan:
    """Put the literals that the person typed into the slots of an answer."""
    try:
        command = literals.fill(plan.command, slotted.literals)
    except literals.SlotError as error:
        raise NotSure("The model's answer does not fit the request.", hint=REPHRASE) from error
    return Plan(literals.fill_text(plan.say, slotted.literals), command)


def _sentence(text: str) -> str:
    """Return the first line of what the model says, of a length that a screen can take."""
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:297] + "..."
