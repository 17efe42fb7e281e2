"""The link to the engine: where it stands, and one question at a time.

The engine's client is imported in a thread and only when something is asked, so that the
prompt never waits for it.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from llmos_shell.errors import EngineAway

if TYPE_CHECKING:
    from llmos_api import ChatCompletion, ChatRequest, Health, Model

AWAY_HINT: Final = "Commands still work. Look with: !systemctl status llmos-engine"
LOADING_HINT: Final = "Ask again in a moment. Commands work already."


class Condition(Enum):
    """Where the engine stands, as far as the shell knows."""

    UNKNOWN = "unknown"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    AWAY = "away"

    @property
    def next_look(self) -> float:
        """Seconds until it is worth asking again; the machine should rest meanwhile."""
        return _LOOKS[self]


_LOOKS: Final = {
    Condition.UNKNOWN: 0.2,
    Condition.LOADING: 1.0,
    Condition.READY: 20.0,
    Condition.FAILED: 20.0,
    Condition.AWAY: 5.0,
}


@dataclass(frozen=True, slots=True)
class EngineState:
    """What the status bar shows."""

    condition: Condition = Condition.UNKNOWN
    model: str = ""
    reason: str = ""
    trouble: str = ""
    """What keeps the model from being as fast as it could be."""

    @property
    def text(self) -> str:
        """The state in a few words."""
        match self.condition:
            case Condition.UNKNOWN:
                return "model: looking for the engine"
            case Condition.LOADING:
                return "model: loading"
            case Condition.READY:
                trouble = f"({self.trouble})" if self.trouble else ""
                return " ".join(filter(None, ("model: ready", self.model, trouble)))
            case Condition.FAILED:
                return f"model: failed: {self.reason}"
            case Condition.AWAY:
                return f"model: not reachable: {self.reason}"


class Asking(Protocol):
    """The part of :class:`llmos_api.EngineClient` that the shell uses."""

    async def health(self) -> "Health":
        """Ask where the engine stands."""

    async def models(self) -> "list[Model]":
        """List the models."""

    async def chat(self, request: "ChatRequest") -> "ChatCompletion":
        """Wait for a whole answer."""


Connect = Callable[[], AbstractAsyncContextManager[Asking]]


def connect_to_engine() -> AbstractAsyncContextManager[Asking]:
    """Open a client on the engine's socket (``$LLMOS_ENGINE_SOCKET``, or the system's)."""
    import llmos_api  # noqa: PLC0415 - slow to import, and httpx with it

    return llmos_api.EngineClient()


def hardware_trouble() -> str:
    """Return what is wrong with the machine's processors, by ``/run/llmos/hardware.json``."""
    from llmos_api.hardware import read_hardware  # noqa: PLC0415 - slow to import

    hardware = read_hardware()
    return hardware.trouble if hardware else ""


class EngineLink:
    """Asks the engine over a connection of its own each time: it may come and go."""

    def __init__(
        self, connect: Connect = connect_to_engine, trouble: Callable[[], str] = hardware_trouble
    ) -> None:
        self.state = EngineState()
        self._connect = connect
        self._trouble = trouble
        self._imported = False
        self._meta: dict[str, Mapping[str, str]] = {}

    async def look(self) -> EngineState:
        """Find out where the engine stands; never raises."""
        from llmos_api import EngineError, EngineUnavailable, HealthStatus  # noqa: PLC0415

        try:
            async with self._connect() as engine:
                health = await engine.health()
        except EngineUnavailable as error:
            self.state = EngineState(Condition.AWAY, reason=error.reason)
        except EngineError as error:
            self.state = EngineState(Condition.AWAY, reason=str(error))
        else:
            condition = {
                HealthStatus.OK: Condition.READY,
                HealthStatus.LOADING: Condition.LOADING,
                HealthStatus.FAILED: Condition.FAILED,
            }[health.status]
            self.state = EngineState(
                condition, health.model or "", health.error or "", self._trouble()
            )
        return self.state

    async def warm_up(self) -> None:
        """Import what asking needs, in a thread."""
        if not self._imported:
            await asyncio.to_thread(_import_client)
            self._imported = True

    async def meta(self) -> Mapping[str, str]:
        """Return the ``llmos.*`` keys of the model that will answer."""
        name = self.state.model
        if name not in self._meta:
            models = await self._models()
            self._meta |= {model.id: model.meta for model in models}
            if name not in self._meta:  # an engine that has one model and does not name it
                return models[0].meta if models else {}
        return self._meta[name]

    async def _models(self) -> "list[Model]":
        """List the models; waits for an engine that is just starting, as a chat does."""
        from llmos_api import EngineError  # noqa: PLC0415

        while True:
            try:
                async with self._connect() as engine:
                    return await engine.models()
            except EngineError as error:
                away = await self._away(error)
                if self.state.condition is not Condition.LOADING:
                    raise away from error
                await asyncio.sleep(self.state.condition.next_look)

    async def chat(self, request: "ChatRequest") -> str:
        """Return the model's answer, or raise :class:`EngineAway` that says what to do."""
        from llmos_api import EngineError  # noqa: PLC0415

        try:
            async with self._connect() as engine:
                return (await engine.chat(request)).text
        except EngineError as error:
            raise await self._away(error) from error

    async def _away(self, error: Exception) -> EngineAway:
        """Say why there is no answer; the state on the screen follows."""
        state = await self.look()
        match state.condition:
            case Condition.LOADING:
                return EngineAway("The model is still loading.", hint=LOADING_HINT)
            case Condition.FAILED:
                return EngineAway(f"The model could not be loaded: {state.reason}", hint=AWAY_HINT)
            case Condition.AWAY:
                return EngineAway(f"The engine does not answer: {state.reason}", hint=AWAY_HINT)
            case _:
                return EngineAway(f"The engine gave no answer: {error}", hint="Ask again.")


def _import_client() -> None:
    import httpx  # noqa: F401, PLC0415

    import llmos_api  # noqa: F401, PLC0415
