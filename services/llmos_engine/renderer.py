"""The process that renders chat templates, started by ``template.py``.

A template comes with a model and is a program of somebody else. It is rendered in Jinja's
sandbox, and because the sandbox limits neither time nor memory, in a process of its own
that has little of both and can be killed. It reads one JSON object a line from its
standard input and answers with one a line.
"""

import json
import resource
import sys
from datetime import datetime
from functools import cache
from typing import Any, Final, NoReturn

from jinja2 import Template, TemplateError
from jinja2.exceptions import SecurityError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY: Final = 512 * 1024 * 1024
"""Bytes of address space, the interpreter's own included."""

MAX_OUTPUT: Final = 16 * 1024 * 1024


class RaisedByTemplate(Exception):
    """The template called ``raise_exception``: it refuses these messages."""


def _raise_exception(message: object) -> NoReturn:
    raise RaisedByTemplate(str(message))


def _strftime_now(layout: str) -> str:
    return datetime.now().astimezone().strftime(layout)


def _tojson(value: object, indent: int | None = None) -> str:
    # Jinja's own filter escapes for HTML, which changes what the model reads.
    return json.dumps(value, ensure_ascii=False, indent=indent)


def make_environment() -> ImmutableSandboxedEnvironment:
    """Make the environment that Hugging Face's templates are written for."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals |= {
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
    }
    return environment


@cache
def _compiled(source: str) -> Template:
    return make_environment().from_string(source)


def render(ask: dict[str, Any]) -> dict[str, str]:
    """Render ``ask["source"]`` with ``ask["values"]``.

    Returns ``{"text": …}``, or ``{"refused": …}`` when the template itself refuses the
    values, or ``{"error": …}`` when it fails.
    """
    pieces: list[str] = []
    size = 0
    try:
        for piece in _compiled(ask["source"]).generate(ask["values"]):
            size += len(piece)
            if size > MAX_OUTPUT:
                return {"error": f"its text is longer than {MAX_OUTPUT} characters"}
            pieces.append(piece)
    except RaisedByTemplate as error:
        return {"refused": str(error)}
    except SecurityError as error:
        return {"error": f"it does what a template may not: {error}"}
    except TemplateError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    except MemoryError:
        return {"error": "it needs too much memory"}
    except Exception as error:  # a template can raise whatever Python can
        return {"error": f"{type(error).__name__}: {error}"}
    return {"text": "".join(pieces)}


def main() -> None:
    """Serve until the standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.buffer:
        sys.stdout.write(json.dumps(render(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
