"""An engine that answers from a table: stands in at the edge, where the socket would be."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from llmos_api import (
    ChatCompletion,
    ChatMessage,
    ChatRequest,
    Choice,
    EngineError,
    EngineUnavailable,
    FinishReason,
    Health,
    HealthStatus,
    Model,
    Usage,
)


@dataclass
class FakeEngine:
    """Answers from a table, or with an error; remembers what it was asked."""

    answers: dict[str, str] = field(default_factory=dict)
    health_answer: Health = field(default_factory=lambda: Health(HealthStatus.OK, "fake"))
    meta: Mapping[str, str] = field(default_factory=dict)
    error: EngineError | None = None
    asked: list[ChatRequest] = field(default_factory=list)
    before_answer: Callable[[], Awaitable[None]] | None = None

    def plan(self, request: str, command: str, say: str = "As you wish") -> None:
        """Let ``request`` be answered by a plan."""
        self.answers[request] = json.dumps({"say": say, "command": command})

    def stop(self) -> None:
        """Be gone."""
        self.error = EngineUnavailable(Path("/run/llmos/engine.sock"), "Connection refused")

    def __call__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    async def health(self) -> Health:
        self._check()
        return self.health_answer

    async def models(self) -> list[Model]:
        self._check()
        return [Model("fake", 0, "tests", dict(self.meta))]

    async def chat(self, request: ChatRequest) -> ChatCompletion:
        self.asked.append(request)
        if self.before_answer is not None:
            await self.before_answer()
        self._check()
        text = self.answers.get(request.messages[-1].text, '{"say": "", "command": ""}')
        choice = Choice(0, ChatMessage.assistant(text), FinishReason.STOP)
        return ChatCompletion("1", 0, "fake", (choice,), Usage(1, 1, 2))

    def _check(self) -> None:
        if self.error is not None:
            raise self.error
