"""The command ``llmos-engine``."""

import contextlib
import logging
import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click

from llmos_api.client import default_socket
from llmos_engine.backends import BackendKind
from llmos_engine.backends.base import BackendOptions
from llmos_engine.engine import QUEUE_LIMIT, Engine
from llmos_engine.errors import ServiceError
from llmos_engine.models import ModelStore
from llmos_engine.notify import Notifier, take_sockets
from llmos_engine.workers.zygote import Zygote
from llmos_models.scan import ADDED, SHIPPED

EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130

EPILOG: Final = """\
\b
Examples:
  llmos-engine --socket /tmp/engine.sock --models ~/models
  curl --unix-socket /tmp/engine.sock http://engine/health
  LLMOS_ENGINE_SOCKET=/tmp/engine.sock llmos-shell

Started by systemd, it takes the socket that systemd hands it. Ctrl-C or SIGTERM lets
running answers end first, for 20 seconds; a second one cuts them short.

Exit codes: 0 stopped, 1 failed, 2 bad arguments, 130 interrupted.
"""


@click.command(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--socket",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Listen here  [default: $LLMOS_ENGINE_SOCKET or /run/llmos/engine.sock]",
)
@click.option(
    "--models",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help=f"A directory with GGUF files; the last one wins  [default: {SHIPPED}, {ADDED}]",
)
@click.option(
    "--backend",
    type=click.Choice([kind.value for kind in BackendKind]),
    default=BackendKind.LLAMA.value,
    show_default=True,
    help="What makes tokens; echo only says what it was told, for tests.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 512),
    help="Threads that compute  [default: as many as there are CPUs]",
)
@click.option(
    "--context",
    type=click.IntRange(16),
    help="Tokens of prompt and answer  [default: what the model allows, at most 8192]",
)
@click.option(
    "--slots",
    type=click.IntRange(1, 64),
    help="Answers that are made side by side; the others wait  [default: 16]",
)
@click.option(
    "--offload",
    type=click.Choice(["all", "none"]),
    default="none",
    show_default=True,
    envvar="LLMOS_ENGINE_OFFLOAD",
    show_envvar=True,
    help="Whether models go to the graphics processors that ggml finds.",
)
@click.option(
    "--queue",
    type=click.IntRange(1, 10_000),
    default=QUEUE_LIMIT,
    show_default=True,
    help="Requests that may wait; those beyond get 429.",
)
@click.option("--verbose", is_flag=True, help="Also log what llama.cpp says.")
@click.version_option(version("llmos"), prog_name="llmos-engine")
def main(
    socket: Path | None,
    models: tuple[Path, ...],
    backend: str,
    threads: int | None,
    context: int | None,
    slots: int | None,
    offload: str,
    queue: int,
    verbose: bool,
) -> None:
    """Serve a local language model on a UNIX socket, in OpenAI's API."""
    _log_to_stderr(verbose=verbose)
    store = ModelStore(models or (SHIPPED, ADDED))
    options = BackendOptions(
        threads=threads, context=context, slots=slots, offload=offload == "all"
    )
    listen = (socket or default_socket()).absolute()
    # llama.cpp loads plug-ins from its working directory too: go where only root can put any.
    os.chdir("/")
    try:
        stopped_by = _serve(store, BackendKind(backend), options, listen, queue)
    except ServiceError as error:
        click.echo(f"llmos-engine: {error}", err=True)
        sys.exit(EXIT_FAILED)
    sys.exit(EXIT_INTERRUPTED if stopped_by == signal.SIGINT else 0)


def _serve(
    store: ModelStore, kind: BackendKind, options: BackendOptions, path: Path, queue: int
) -> int | None:
    notifier = Notifier.take(os.environ)
    sockets = take_sockets(os.environ)
    # Before the HTTP server is imported: a worker has no use for it.
    zygote = Zygote(kind, options, sockets)
    from llmos_engine.server import Service, listening, status_line  # noqa: PLC0415

    engine = Engine(
        zygote,
        store,
        queue_limit=queue,
        on_health=lambda health: notifier.send(f"STATUS={status_line(health)}"),
    )
    with contextlib.ExitStack() as stack:
        sockets = sockets or [stack.enter_context(listening(path))]
        return Service(engine, sockets, notifier).run()


class _JournalFormatter(logging.Formatter):
    """Puts the priority before each line, as sd-daemon(3) describes."""

    PRIORITIES: Final = {
        logging.DEBUG: 7,
        logging.INFO: 6,
        logging.WARNING: 4,
        logging.ERROR: 3,
        logging.CRITICAL: 2,
    }

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{self.PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def _log_to_stderr(*, verbose: bool) -> None:
    handler = logging.StreamHandler()
    in_journal = "JOURNAL_STREAM" in os.environ
    handler.setFormatter(_JournalFormatter() if in_journal else logging.Formatter("%(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("llmos_engine").setLevel(logging.DEBUG if verbose else logging.INFO)


if __name__ == "__main__":
    main()
