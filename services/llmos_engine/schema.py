"""Turns a JSON schema into a grammar (GBNF) that llama.cpp's sampler follows.

The grammar describes a subset of what the schema accepts, never more: a keyword that
cannot be expressed is refused, where other converters drop it and answer with values
that the schema forbids. Annotations (``title``, ``format`` and so on) say nothing about
the shape and are skipped.

llama.cpp's own converter (``llama_cpp.llama_grammar``) skips what it does not know and
has no limits; a nested grammar has crashed llama.cpp (issue 26600), hence the limits.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from llmos_engine.errors import InvalidRequest

MAX_DEPTH: Final = 32
MAX_NODES: Final = 500
MAX_GRAMMAR: Final = 128 * 1024
MAX_REPEAT: Final = 1000
"""llama.cpp refuses more than 2,000 repetitions, nested ones multiplied."""

ANY_DEPTH: Final = 8
"""How deep a value of any shape may nest; a grammar without an end would let it go on."""

ANNOTATIONS: Final = frozenset(
    {
        *("$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default"),
        *("examples", "deprecated", "readOnly", "writeOnly", "format"),
        *("contentMediaType", "contentEncoding"),
    }
)

TYPES: Final = ("object", "array", "string", "number", "integer", "boolean", "null")

BASE: Final = {
    # At most one blank, or one line and its indentation: unbounded blanks tempt small
    # models to write nothing else.
    "ws": r'| " " | "\n" [ \t]{0,20}',
    "hex": "[0-9a-fA-F]",
    # Lone surrogates are left out: \ud800 is JSON by its grammar and no text in Unicode.
    "char": (
        r'[^"\\\x00-\x1F\x7F] | "\\" ( ["\\/bfnrt] | '
        r'"u" ( [0-9abcefABCEF] hex hex hex | [dD] [0-7] hex hex | '
        r'[dD] [89abAB] hex hex "\\u" [dD] [cdefCDEF] hex hex ) )'
    ),
    "string": r'"\"" char* "\""',
    "integer": '"-"? ( "0" | [1-9] [0-9]{0,15} )',
    # Two digits of exponent: 1e999 is read as infinity by many parsers.
    "number": 'integer ( "." [0-9]{1,16} )? ( [eE] [-+]? [0-9]{1,2} )?',
    "boolean": '"true" | "false"',
    "null": '"null"',
}


class SchemaRefused(InvalidRequest):
    """The schema cannot be followed exactly; ``param`` is the path of the reason."""

    def __init__(self, what: str, path: str) -> None:
        super().__init__(f"{path}: {what}", param=path, code="unsupported_schema")


def compile_schema(
    schema: Mapping[str, Any], *, path: str = "response_format.json_schema.schema"
) -> str:
    """Return the grammar of the values that ``schema`` accepts; its start is ``root``.

    Raises :class:`SchemaRefused` when a part of the schema cannot be expressed.
    """
    return _Compiler(schema, path).grammar()


def any_object() -> str:
    """Return the grammar of all JSON objects, for ``json_object``."""
    return compile_schema({"type": "object"})


class _Compiler:
    def __init__(self, schema: Mapping[str, Any], path: str) -> None:
        self._schema = schema
        self._path = path
        self._rules: dict[str, str] = dict(BASE)
        self._refs: dict[str, str] = {}
        self._nodes = 0
        self._size = 0

    def grammar(self) -> str:
        # The name of root is known before its body: the schema may refer to itself.
        self._refs["#"] = "root"
        try:
            self._rules["root"] = self._visit(self._schema, self._path, 0)
        except RecursionError:  # a constant can nest deeper than a schema may
            raise SchemaRefused("nested too deep", self._path) from None
        return "\n".join(f"{name} ::= {body}" for name, body in self._rules.items()) + "\n"

    def _visit(self, schema: object, path: str, depth: int) -> str:
        """Return an expression for the values that ``schema`` accepts."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise SchemaRefused(f"the schema has more than {MAX_NODES} parts", self._path)
        if depth > MAX_DEPTH:
            raise SchemaRefused(f"nested deeper than {MAX_DEPTH}", path)
        if schema is True:
            return self._any(ANY_DEPTH)
        if not isinstance(schema, Mapping):
            raise SchemaRefused("a schema is an object or true", path)
        for keyword, visit in (
            ("$ref", self._ref),
            ("anyOf", self._any_of),
            ("const", self._const),
            ("enum", self._enum),
        ):
            if keyword in schema:
                return visit(schema, path, depth)
        return self._typed(schema, path, depth)

    def _typed(self, schema: Mapping[str, Any], path: str, depth: int) -> str:
        kinds = self._types(schema, path)
        known = {"type"}
        choices: list[str] = []
        for kind in kinds:
            match kind:
                case "object":
                    known |= {"properties", "required", "additionalProperties"}
                    choices.append(self._object(schema, path, depth))
                case "array":
                    known |= {"items", "minItems", "maxItems"}
                    choices.append(self._array(schema, path, depth))
                case "string":
                    known |= {"minLength", "maxLength"}
                    choices.append(self._string(schema, path))
                case _:
                    choices.append(kind)
        if not kinds:
            choices = [self._any(ANY_DEPTH)]
        self._only(schema, path, known)
        return self._rule(" | ".join(choices))

    def _types(self, schema: Mapping[str, Any], path: str) -> list[str]:
        kinds = schema.get("type")
        if kinds is None:
            if "properties" in schema or "additionalProperties" in schema:
                return ["object"]
            return ["array"] if "items" in schema else []
        kinds = kinds if isinstance(kinds, list) else [kinds]
        for kind in kinds:
            if kind not in TYPES:
                raise SchemaRefused(
                    f"unknown {kind!r} (one of: {', '.join(TYPES)})", f"{path}.type"
                )
        if not kinds:
            raise SchemaRefused("names no type", f"{path}.type")
        # Every integer is a number: naming both would only make the grammar ambiguous.
        return [k for k in dict.fromkeys(kinds) if k != "integer" or "number" not in kinds]

    def _object(self, schema: Mapping[str, Any], path: str, depth: int) -> str:
        properties = schema.get("properties", {})
        if not isinstance(properties, Mapping):
            raise SchemaRefused("must be an object", f"{path}.properties")
        required = schema.get("required", [])
        if not isinstance(required, list) or not all(isinstance(r, str) for r in required):
            raise SchemaRefused("must be a list of names", f"{path}.required")
        extra = schema.get("additionalProperties", True)
        if extra is False and (missing := [r for r in required if r not in properties]):
            raise SchemaRefused(f"{missing[0]!r} is required and not allowed", f"{path}.required")
        members = {
            name: self._member(name, self._visit(sub, f"{path}.properties.{name}", depth + 1))
            for name, sub in properties.items()
        }
        for name in required:
            if name not in members:
                where = f"{path}.additionalProperties"
                members[name] = self._member(name, self._visit(extra, where, depth + 1))
        if members:
            return '"{" ws ' + self._members(list(members.items()), set(required)) + ' "}"'
        if extra is False:
            return '"{" ws "}"'
        value = self._visit(extra, f"{path}.additionalProperties", depth + 1)
        return self._map(value)

    def _members(self, members: list[tuple[str, str]], required: set[str]) -> str:
        """Return an expression for members in this order, the optional ones left out or not.

        From the back: ``first`` is what may come from a member on when none has come yet,
        ``later`` when one has, so that there is a comma between two, and nowhere else.
        """
        first = later = ""
        for name, member in reversed(members):
            begun = f"{member} {later}".strip()
            if name in required:
                first, later = begun, self._rule(f'"," ws {begun}')
            else:
                first, later = (
                    self._rule(f"{first} | {begun}"),
                    self._rule(f'{later} | "," ws {begun}'),
                )
        return first

    def _member(self, name: str, value: str) -> str:
        return self._rule(f'{_literal(json.dumps(name, ensure_ascii=False))} ws ":" ws {value} ws')

    def _map(self, value: str) -> str:
        member = self._rule(f'string ws ":" ws {value} ws')
        return self._rule(f'"{{" ws ( {member} ( "," ws {member} )* )? "}}"')

    def _array(self, schema: Mapping[str, Any], path: str, depth: int) -> str:
        item = self._visit(schema.get("items", True), f"{path}.items", depth + 1) + " ws"
        least, most = self._bounds(schema, path, "minItems", "maxItems")
        if most == 0:
            return '"[" ws "]"'
        more = f"{{{max(least - 1, 0)},{'' if most is None else most - 1}}}"
        items = f'{item} ( "," ws {item} ){more}'
        return f'"[" ws {items} "]"' if least else f'"[" ws ( {items} )? "]"'

    def _string(self, schema: Mapping[str, Any], path: str) -> str:
        least, most = self._bounds(schema, path, "minLength", "maxLength")
        if not least and most is None:
            return "string"
        return rf'"\"" char{{{least},{"" if most is None else most}}} "\""'

    def _bounds(
        self, schema: Mapping[str, Any], path: str, least: str, most: str
    ) -> tuple[int, int | None]:
        low, high = schema.get(least, 0), schema.get(most)
        for keyword, value in ((least, low), (most, high)):
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise SchemaRefused("must be a number from 0 on", f"{path}.{keyword}")
            if value > MAX_REPEAT:
                raise SchemaRefused(f"at most {MAX_REPEAT} is supported", f"{path}.{keyword}")
        if high is not None and high < low:
            raise SchemaRefused(f"is less than {least}", f"{path}.{most}")
        return low, high

    def _ref(self, schema: Mapping[str, Any], path: str, depth: int) -> str:
        self._only(schema, path, {"$ref"})
        ref = schema["$ref"]
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            raise SchemaRefused(f"only references within the schema: {ref!r}", f"{path}.$ref")
        if ref not in self._refs:
            name = self._refs[ref] = f"ref{len(self._refs)}"
            self._rules[name] = self._visit(
                self._target(ref, path), f"{self._path}{ref[1:]}", depth + 1
            )
        return self._refs[ref]

    def _target(self, ref: str, path: str) -> object:
        target: object = self._schema
        for part in ref[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, Mapping) or name not in target:
                raise SchemaRefused(f"nothing is at {ref!r}", f"{path}.$ref")
            target = target[name]
        return target

    def _any_of(self, schema: Mapping[str, Any], path: str, depth: int) -> str:
        self._only(schema, path, {"anyOf"})
        options = schema["anyOf"]
        if not isinstance(options, list) or not options:
            raise SchemaRefused("must be a list of schemas", f"{path}.anyOf")
        return self._rule(
            " | ".join(
                self._visit(option, f"{path}.anyOf[{index}]", depth + 1)
                for index, option in enumerate(options)
            )
        )

    def _const(self, schema: Mapping[str, Any], path: str, depth: int) -> str:
        del depth
        return self._values(schema, path, "const", [schema["const"]])

    def _enum(self, schema: Mapping[str, Any], path: str, depth: int) -> str:
        del depth
        values = schema["enum"]
        if not isinstance(values, list) or not values:
            raise SchemaRefused("must be a list of values", f"{path}.enum")
        return self._values(schema, path, "enum", values)

    def _values(self, schema: Mapping[str, Any], path: str, keyword: str, values: list[Any]) -> str:
        self._only(schema, path, {keyword, "type"})
        kinds = self._types(schema, path)
        fitting = [v for v in values if not kinds or any(_is(v, kind) for kind in kinds)]
        if not fitting:
            raise SchemaRefused(f"no value has the type {schema['type']!r}", f"{path}.{keyword}")
        texts = (json.dumps(v, ensure_ascii=False, allow_nan=False) for v in fitting)
        return self._rule(" | ".join(_literal(text) for text in texts))

    def _any(self, depth: int) -> str:
        """Return the rule for a value of any shape that nests at most ``depth`` deep."""
        name = f"any{depth}"
        if name not in self._rules:
            choices = ["string", "number", "boolean", "null"]
            if depth:
                inner = self._any(depth - 1)
                choices.append(self._map(inner))
                choices.append(self._rule(f'"[" ws ( {inner} ws ( "," ws {inner} ws )* )? "]"'))
            self._add(name, " | ".join(choices))
        return name

    def _only(self, schema: Mapping[str, Any], path: str, known: Iterable[str]) -> None:
        """Refuse keywords that would be left unheeded."""
        for keyword in schema:
            if keyword not in ANNOTATIONS and keyword not in known:
                beside = ", ".join(sorted(known))
                raise SchemaRefused(
                    f"this keyword is not supported here (supported beside it: {beside})",
                    f"{path}.{keyword}",
                )

    def _rule(self, body: str) -> str:
        """Give a body a name of its own, so that it can stand anywhere."""
        return self._add(f"r{len(self._rules)}", body)

    def _add(self, name: str, body: str) -> str:
        self._size += len(name) + len(body) + 6
        if self._size > MAX_GRAMMAR:
            raise SchemaRefused("the schema is too large", self._path)
        self._rules[name] = body
        return name


def _literal(text: str) -> str:
    """Quote a text for GBNF."""
    out = []
    for char in text:
        if char in '"\\':
            out.append(f"\\{char}")
        elif char < " " or char == "\x7f":
            out.append(f"\\x{ord(char):02X}")
        else:
            out.append(char)
    return '"' + "".join(out) + '"'


def _is(value: object, kind: str) -> bool:
    match kind:
        case "object":
            return isinstance(value, Mapping)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case _:
            return isinstance(value, int | float) and not isinstance(value, bool)
