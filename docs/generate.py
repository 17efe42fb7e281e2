"""Writes the reference pages that come from the code, or says that they are stale.

python docs/generate.py          write them
python docs/generate.py --check  exit 1 when one is not what the code says
"""

import json
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from llmos_ctl.main import cli as llmosctl
from llmos_engine.main import main as llmos_engine
from llmos_image.cli import cli as llmos_image
from llmos_image.spec import ImageSpec
from llmos_installer.main import command as llmos_install

REFERENCE = Path(__file__).parent / "reference"


def pages() -> dict[str, str]:
    """The generated pages by file name."""
    schema = ImageSpec.model_json_schema()
    return {
        "spec.schema.json": json.dumps(schema, indent=2) + "\n",
        "spec.md": "\n".join(_spec_page()) + "\n",
        "llmos-image.md": "\n".join(_command_page("llmos-image", llmos_image)) + "\n",
        "llmos-engine.md": "\n".join(_command_page("llmos-engine", llmos_engine)) + "\n",
        "llmos-install.md": "\n".join(_command_page("llmos-install", llmos_install)) + "\n",
        "llmosctl.md": "\n".join(_command_page("llmosctl", llmosctl)) + "\n",
    }


def _spec_page() -> Iterator[str]:
    yield "# The spec of an image"
    yield ""
    yield "Generated from `llmos_image.spec`. Editors read [spec.schema.json](spec.schema.json)."
    yield "Unknown keys are refused; every fault is shown with the path of its value."
    for name, field in ImageSpec.model_fields.items():
        model = _model_of(field.annotation)
        many = typing.get_origin(field.annotation) is tuple
        yield ""
        yield f"## `[[{name}]]`" if many else f"## `[{name}]`"
        yield ""
        yield f"{model.__doc__}" + (" Any number of them." if many else "")
        yield ""
        yield "| key | accepted | default | |"
        yield "|---|---|---|---|"
        for key, inner in model.model_fields.items():
            accepted, default = _accepted(model, key), _default(inner)
            yield f"| `{key}` | {accepted} | {default} | {inner.description or ''} |"


def _model_of(annotation: object) -> type[BaseModel]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return _model_of(typing.get_args(annotation)[0])


def _accepted(model: type[BaseModel], key: str) -> str:
    known = _words(model.model_json_schema()["properties"][key], model.model_json_schema())
    return known or _type_name(model.model_fields[key].annotation)


def _words(schema: dict[str, typing.Any], whole: dict[str, typing.Any]) -> str:
    if "$ref" in schema:
        return _words(whole["$defs"][schema["$ref"].rsplit("/", 1)[1]], whole)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "anyOf" in schema:
        return _words(schema["anyOf"][0], whole)
    match schema.get("type"):
        case "array":
            return f"list of {_words(schema['items'], whole) or 'text'}"
        case "boolean":
            return "`true`, `false`"
        case "string":
            return "text"
        case _:
            return ""


def _type_name(annotation: object) -> str:
    if isinstance(annotation, types.UnionType):
        return " or ".join(_type_name(part) for part in typing.get_args(annotation))
    return getattr(annotation, "__name__", str(annotation))


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f'`"{value // 1024**2}M"`'
    return f"`{json.dumps(value)}`"


def _command_page(name: str, command: click.Command) -> Iterator[str]:
    yield f"# {name}"
    yield ""
    yield "Generated from the command's own help."
    context = click.Context(command, info_name=name, max_content_width=80, terminal_width=80)
    for ctx, sub in _with_subcommands(context, command):
        if sub is not command:
            yield ""
            yield f"## {ctx.command_path}"
        yield ""
        yield "```text"
        yield sub.get_help(ctx)
        yield "```"


def _with_subcommands(
    context: click.Context, command: click.Command
) -> Iterator[tuple[click.Context, click.Command]]:
    yield context, command
    if isinstance(command, click.Group):
        for name, sub in sorted(command.commands.items()):
            inner = click.Context(sub, info_name=name, parent=context, terminal_width=80)
            yield from _with_subcommands(inner, sub)


def main() -> None:
    """Write or check all pages."""
    stale = []
    for name, text in pages().items():
        path = REFERENCE / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                REFERENCE.mkdir(exist_ok=True)
                path.write_text(text)
    if stale and "--check" in sys.argv:
        sys.exit(f"stale: {', '.join(stale)} (python docs/generate.py writes them)")


if __name__ == "__main__":
    main()
