"""Everything that can go wrong between a client and the engine, as types.

EngineError
├── EngineUnavailable    nobody listens on the socket
├── EngineNotReady       503: the model is loading, or could not be loaded
├── BadRequest           400 and other 4xx: the request is wrong; ``param`` says where
│   └── UnknownModel     404: no such model
├── EngineBusy           429: the queue is full; ``retry_after`` says when to come back
├── EngineFault          5xx: the engine failed
├── StreamBroken         the connection ended before the answer did
└── BadAnswer            the answer does not have the shape that it should

``str()`` of any of them is one sentence for a person.
"""

from pathlib import Path


class EngineError(Exception):
    """A request that got no answer."""


class EngineUnavailable(EngineError):
    """Nobody listens on ``socket``: the service is stopped, or the path is wrong."""

    def __init__(self, socket: Path, reason: str) -> None:
        super().__init__(f"the engine does not answer on {socket}: {reason}")
        self.socket = socket
        self.reason = reason


class EngineNotReady(EngineError):
    """The engine runs and cannot answer yet; :meth:`EngineClient.health` says why."""


class BadRequest(EngineError):
    """The engine refuses the request as it is; sending it again changes nothing.

    ``param`` is the path of the value that is wrong (``messages[0].role``), ``code`` a
    word for programs (``context_length_exceeded``); both are None when there is none.
    """

    def __init__(self, what: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(what)
        self.param = param
        self.code = code


class UnknownModel(BadRequest):
    """The engine has no model of that name."""


class EngineBusy(EngineError):
    """Too many requests wait already; try again after ``retry_after`` seconds."""

    def __init__(self, what: str, *, retry_after: float) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class EngineFault(EngineError):
    """The engine failed at an answer that it had begun or should have given."""


class StreamBroken(EngineError):
    """The connection ended in the middle of an answer."""


class BadAnswer(EngineError):
    """What listens on the socket does not speak the engine's language."""
