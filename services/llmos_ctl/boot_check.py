"""The command ``llmos-boot-check``: a new version is good when its engine answers a prompt.

systemd-bless-boot takes the count of tries away only after this has ended well
(``llmos-boot-check.service``); when it has not, the machine starts again, and the boot loader
has one try less.
"""

import asyncio
import datetime
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, Protocol

import click
import msgspec

from llmos_api import (
    ChatCompletion,
    ChatMessage,
    ChatRequest,
    EngineClient,
    EngineError,
    FinishReason,
    Health,
    HealthStatus,
    JsonSchema,
    JsonSchemaFormat,
)
from llmos_ctl.errors import CtlError
from llmos_ctl.update.failures import Failure, add_failure
from llmos_ctl.update.running import Running

PATIENCE: Final = 300.0
"""Seconds: loading a model takes minutes on a slow disk, and so does an answer on a slow CPU."""

PAUSE: Final = 2.0

MODELS: Final = (Path("/usr/lib/llmos-models"), Path("/var/lib/llmos/models"))
"""Where the engine looks for models."""

_PLAN: Final = JsonSchema(
    "plan",
    {
        "type": "object",
        "properties": {
            "say": {"type": "string", "maxLength": 200},
            "command": {"type": "string", "maxLength": 200},
        },
        "required": ["say", "command"],
        "additionalProperties": False,
    },
)
REQUEST: Final = ChatRequest(
    (ChatMessage.user("how much free disk space is there"),),
    max_tokens=256,
    temperature=0.0,
    # The shape that the shell asks for: also the part that constrains answers has to work.
    response_format=JsonSchemaFormat(_PLAN),
)


class Engine(Protocol):
    """The part of the engine's client that is needed."""

    async def health(self) -> Health: ...
    async def chat(self, request: ChatRequest) -> ChatCompletion: ...


Connect = Callable[[], AbstractAsyncContextManager[Engine]]


class NotGood(CtlError):
    """The engine has not answered as it should; the message ends a sentence."""


async def check(
    connect: Connect,
    models: Sequence[Path] = MODELS,
    *,
    patience: float = PATIENCE,
    pause: float = PAUSE,
) -> str:
    """Wait for a good answer and return what is good about it.

    Where the folders ``models`` have no model, an engine that is there is enough.

    Raises:
        NotGood: there was none within ``patience`` seconds.
    """
    said = "the engine did not come up"
    may_fail = not any(list(folder.glob("*.gguf")) for folder in models)
    try:
        async with asyncio.timeout(patience):
            while True:
                try:
                    async with connect() as engine:
                        said, good = await _ask(engine, may_fail=may_fail)
                except EngineError as error:
                    said, good = str(error), False
                if good:
                    return said
                await asyncio.sleep(pause)
    except TimeoutError:
        raise NotGood(f"{said} (within {patience:.0f} seconds)") from None


async def _ask(engine: Engine, *, may_fail: bool) -> tuple[str, bool]:
    health = await engine.health()
    if not health.ready:
        if health.status is HealthStatus.FAILED and may_fail:
            return "there is no model that could be asked", True
        return health.error or "the model was still loading", False
    answer = await engine.chat(REQUEST)
    if not _is_plan(answer):
        return f"the engine's answer was no plan: {answer.text[:60]!r}", False
    return f"{answer.model} has answered", True


def _is_plan(answer: ChatCompletion) -> bool:
    """A model may have much to say, but what it has finished has to be a plan."""
    if any(choice.finish_reason is FinishReason.LENGTH for choice in answer.choices):
        return bool(answer.text.strip())
    try:
        plan = msgspec.json.decode(answer.text, type=dict[str, str])
    except msgspec.DecodeError:
        return False
    return bool(plan.get("say") or plan.get("command"))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--seconds", default=PATIENCE, show_default=True, help="How long the engine may take."
)
@click.option(
    "--socket",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The engine's  [default: $LLMOS_ENGINE_SOCKET or /run/llmos/engine.sock]",
)
@click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    multiple=True,
    default=MODELS,
    show_default=True,
    help="Where the engine looks for models.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Keep the reason of a failure for 'llmosctl update status'; needs root.",
)
def main(seconds: float, socket: Path | None, models: tuple[Path, ...], keep: bool) -> None:
    """Say whether the engine answers a prompt: what a new version must do to be kept.

    Exit status: 0 it does, 1 it does not.
    """
    try:
        said = asyncio.run(check(lambda: EngineClient(socket), models, patience=seconds))
    except NotGood as error:
        click.echo(f"llmos-boot-check: {error.what}", err=True)
        if keep:
            keep_failure(error.what, Path("/"))
        sys.exit(error.exit_code)
    click.echo(f"llmos-boot-check: {said}")


def keep_failure(reason: str, root: Path) -> None:
    """Keep why this version is not good; not being able to changes nothing."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    try:
        add_failure(Failure(Running.of(root).version, now, reason), root)
    except (CtlError, OSError) as error:
        click.echo(f"llmos-boot-check: the reason is not kept: {error}", err=True)


if __name__ == "__main__":
    main()
