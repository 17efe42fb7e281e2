"""What makes tokens: one file per back end, all behind the interface of ``base.py``."""

from collections.abc import Callable
from enum import StrEnum

from llmos_engine.backends.base import Backend, BackendOptions


class BackendKind(StrEnum):
    """The back ends by the name that ``--backend`` takes."""

    LLAMA = "llama"
    ECHO = "echo"

    def make(self, options: BackendOptions) -> Backend:
        """Make the back end; its library is imported here and not before."""
        return _MAKERS[self](options)


def _llama(options: BackendOptions) -> Backend:
    from llmos_engine.backends.llama import LlamaBackend  # noqa: PLC0415 - only on the target

    return LlamaBackend(options)


def _echo(options: BackendOptions) -> Backend:
    from llmos_engine.backends.echo import EchoBackend  # noqa: PLC0415 - only for tests

    return EchoBackend(options)


_MAKERS: dict[BackendKind, Callable[[BackendOptions], Backend]] = {
    BackendKind.LLAMA: _llama,
    BackendKind.ECHO: _echo,
}
