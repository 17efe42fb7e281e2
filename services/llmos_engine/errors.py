"""Everything that can go wrong in the engine, as types.

    ServiceError
    ├── Refused                 a request that gets an error answer; ``status`` is HTTP's
    │   ├── InvalidRequest      400: a value is wrong
    │   │   └── ContextOverflow 400: the prompt does not fit the model's context
    │   ├── ModelNotFound       404
    │   ├── NotFound            404: a response that is not remembered
    │   ├── TooLarge            413: the body is too long
    │   ├── QueueFull           429: with ``Retry-After``
    │   └── NotReady            503: no model, or the service is stopping
    └── DecodeFailed            the back end failed in the middle of an answer

``app.py`` turns them into answers, ``main.py`` into exits; nothing else catches them all. That a
model cannot be used is a :class:`~llmos_models.errors.ModelError`; the state is then ``failed``.
"""

from typing import ClassVar

from llmos_api.types import ErrorBody, ErrorDetail


class ServiceError(Exception):
    """A failure that is told to a person in one sentence."""


class Refused(ServiceError):
    """An answer that is an error, in OpenAI's shape.

    ``param`` is the path of the wrong value, ``code`` a word for programs, ``retry_after`` the
    seconds after which it may be asked again.
    """

    status: ClassVar[int] = 400
    type: ClassVar[str] = "invalid_request_error"

    def __init__(
        self,
        what: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(what)
        self.param = param
        self.code = code
        self.retry_after = retry_after

    @property
    def body(self) -> ErrorBody:
        """The answer's body."""
        return ErrorBody(ErrorDetail(str(self), self.type, self.param, self.code))

    @property
    def headers(self) -> dict[str, str]:
        """Headers that the answer needs beyond the usual."""
        return {} if self.retry_after is None else {"retry-after": str(self.retry_after)}


class InvalidRequest(Refused):
    """A value of the request is wrong."""


class ContextOverflow(InvalidRequest):
    """The prompt leaves no room for an answer."""

    def __init__(self, *, prompt: int, context: int, param: str = "messages") -> None:
        super().__init__(
            f"the prompt has {prompt} tokens and the model's context is {context}: "
            "shorten it, so that at least one token is left for the answer",
            param=param,
            code="context_length_exceeded",
        )


class ModelNotFound(Refused):
    """No file of that name."""

    status = 404

    def __init__(self, name: str, known: list[str]) -> None:
        have = ", ".join(known) if known else "none"
        super().__init__(
            f"no model {name!r} (available: {have})", param="model", code="model_not_found"
        )


class NotFound(Refused):
    """Nothing of that name is kept."""

    status = 404

    def __init__(self, what: str, *, param: str | None = None) -> None:
        super().__init__(what, param=param, code="not_found")


class TooLarge(Refused):
    """A body beyond the limit."""

    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is longer than {limit} bytes", code="body_too_large")


class QueueFull(Refused):
    """As many requests wait as may; come back later."""

    status = 429
    type = "rate_limit_error"

    def __init__(self, waiting: int, *, retry_after: int) -> None:
        super().__init__(
            f"{waiting} requests wait already; try again in {retry_after} seconds",
            code="queue_full",
            retry_after=retry_after,
        )


class NotReady(Refused):
    """The service runs, and cannot answer."""

    status = 503
    type = "service_unavailable"


class DecodeFailed(ServiceError):
    """The back end could not go on; the model's process ends, and another one loads it."""
