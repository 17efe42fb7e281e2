"""Pydantic's complaints in the words of a spec: path of the value, what is wrong, what would do."""

import difflib
import types
import typing
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_EXPECTED = {
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "tuple_type": "a list in [ ]",
    "model_type": "a table",
    "dict_type": "a table",
}


def faults_of(error: ValidationError, model: type[BaseModel]) -> Sequence[str]:
    """One line for each fault, sorted by where it stands."""
    return sorted(line for item in error.errors(include_url=False) for line in _lines(item, model))


def _lines(item: ErrorDetails, model: type[BaseModel]) -> Sequence[str]:
    loc, kind, message, value = item["loc"], item["type"], item["msg"], item["input"]
    where = _dotted(loc)
    match kind:
        case "extra_forbidden":
            known = sorted(_fields(model, loc[:-1]))
            close = difflib.get_close_matches(str(loc[-1]), known, 1)
            guess = f"did you mean '{close[0]}'? " if close else ""
            return [f"{where}: unknown key ({guess}one of: {', '.join(known)})"]
        case "missing":
            return [f"{where}: missing"]
        case "enum" | "literal_error":
            expected = (
                str(item.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ")
            )
            return [f"{where}: unknown {value!r} (one of: {expected})"]
        case "value_error":
            text = message.removeprefix("Value error, ")
            return [f"{where}: {line}" if where else line for line in text.splitlines()]
        case "greater_than_equal" if where.startswith("disk."):
            return [f'{where}: {value!r} is not a size (accepted: as in "512M", "2G")']
        case _ if kind in _EXPECTED:
            return [f"{where}: {value!r} is not {_EXPECTED[kind]}"]
        case _:
            return [f"{where}: {message[:1].lower()}{message[1:]}"]


def _dotted(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _fields(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that are accepted at ``loc``."""
    for part in loc:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in {tuple, types.UnionType, typing.Union}:
        return next(filter(None, map(_model_in, typing.get_args(annotation))), None)
    return None
