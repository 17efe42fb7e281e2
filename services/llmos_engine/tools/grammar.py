"""Keeps a model to calls of functions that exist, with arguments that fit."""

from typing import Any, Final

from llmos_api.tools import FunctionDefinition
from llmos_engine.backends.base import Constraint
from llmos_engine.schema import SchemaRefused, compile_schema
from llmos_engine.tools.asked import MARKER, Offer
from llmos_engine.tools.prompting import uses_tools

MAX_CALLS: Final = 16
"""Calls in one answer: a small model that has begun a list does not always end it."""


def constraint_of(offer: Offer, template: str | None) -> Constraint | None:
    """Return what an answer with these tools has to look like, if anything.

    A call that is required is JSON and nothing else. Where the model is free to call, it is kept
    to the form from its marker on; a template whose calls have no such marker is not.

    Raises:
        InvalidRequest: the schema of a strict function cannot be followed.
    """
    schema = _calls(offer)
    if offer.required:
        return Constraint(schema, compile_schema(schema))
    if template is not None and MARKER not in template and uses_tools(template):
        return None
    grammar = compile_schema(schema)
    return Constraint(schema, _within_markers(grammar, several=offer.several), after=MARKER)


def _calls(offer: Offer) -> dict[str, Any]:
    """The schema of one call; the arguments of each function are among its definitions."""
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "name": {"const": function.name},
                    "arguments": {"$ref": f"#/$defs/{number}"},
                },
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for number, function in enumerate(offer.functions)
        ],
        "$defs": {
            str(number): _moved(_arguments(number, function), f"#/$defs/{number}")
            for number, function in enumerate(offer.functions)
        },
    }


def _arguments(number: int, function: FunctionDefinition) -> dict[str, Any]:
    """The schema of a function's arguments, or any object where it cannot be followed."""
    schema = function.parameters or {}
    if not schema.get("properties") and "additionalProperties" not in schema:
        schema = {**schema, "type": "object", "additionalProperties": False}
    try:
        compile_schema(schema, path=f"tools[{number}].function.parameters")
    except SchemaRefused:
        if function.strict:
            raise
        return {"type": "object"}
    return schema


def _moved(value: Any, to: str) -> Any:
    """Let references that begin at the root of a schema begin at ``to``."""
    if isinstance(value, list):
        return [_moved(inner, to) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        key: to + inner[1:]
        if key == "$ref" and isinstance(inner, str)
        else inner
        if key in {"const", "enum"}
        else _moved(inner, to)
        for key, inner in value.items()
    }


def _within_markers(grammar: str, *, several: bool) -> str:
    """Put the grammar of one call between markers, of which the first was said already."""
    call = grammar.replace("root ::= ", "call ::= ", 1)
    end = MARKER.replace("<", "</", 1)
    more = f'( ws "{MARKER}" ws call ws "{end}" ){{0,{MAX_CALLS - 1}}}' if several else ""
    return f'{call}root ::= ws call ws "{end}" {more}\n'
