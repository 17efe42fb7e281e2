"""A grammar accepts what its schema accepts, and never more."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_engine.schema import SchemaRefused, any_object, compile_schema
from tests.unit.engine.gbnf import Grammar

PLAN = {
    "type": "object",
    "properties": {"say": {"type": "string"}, "command": {"type": "string"}},
    "required": ["say", "command"],
    "additionalProperties": False,
}


def accepts(schema: dict[str, Any], text: str) -> bool:
    return Grammar.parse(compile_schema(schema)).accepts(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"say": "Show free space", "command": "df -h"}',
        '{"say":"","command":""}',
        '{\n  "say": "a \\"b\\" \\u00e9 ü €",\n  "command": "find . -name \'*.c\' | wc -l"\n}',
    ],
)
def test_the_envelope_of_the_shell_is_accepted(text: str) -> None:
    assert accepts(PLAN, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"say": "x"}',
        '{"command": "x", "say": "x"}',
        '{"say": "x", "command": "x", "risk": "none"}',
        '{"say": "x", "command": 1}',
        '{"say": "x", "command": "x"} ',
        'Sure! {"say": "x", "command": "x"}',
        '{"say": "x", "command": "a\nb"}',
        '{"say": "x", "command": "\\ud800"}',
        '{"say": "x", "command": "\\x41"}',
        '{"say": "x",, "command": "x"}',
        '{"say": "x", "command": "x",}',
    ],
)
def test_what_is_not_the_envelope_is_rejected(text: str) -> None:
    assert not accepts(PLAN, text)


OPTIONAL = {
    "type": "object",
    "properties": {"a": {"type": "null"}, "b": {"type": "null"}, "c": {"type": "null"}},
    "required": ["b"],
}


@pytest.mark.parametrize("names", ["b", "ab", "bc", "abc"])
def test_optional_members_may_be_left_out(names: str) -> None:
    assert accepts(OPTIONAL, json.dumps(dict.fromkeys(names)))


@pytest.mark.parametrize(
    "text", ['{"a":null}', "{}", '{,"b":null}', '{"b":null,}', '{"a":null "b":null}']
)
def test_required_members_and_commas_may_not(text: str) -> None:
    assert not accepts(OPTIONAL, text)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, ["0", "-7", "42"], ["01", "1.5", "+1", "", "1e3"]),
        ({"type": "number"}, ["0", "-1.5", "2e10", "1E-3"], [".5", "1.", "1e999", "NaN"]),
        ({"type": "boolean"}, ["true", "false"], ["True", "0"]),
        ({"type": "null"}, ["null"], ["nil"]),
        ({"type": ["string", "null"]}, ['"x"', "null"], ["1"]),
        ({"const": 'a"\\\n'}, [json.dumps('a"\\\n')], ['"a"']),
        ({"enum": ["ü", 1, None, [1]]}, ['"ü"', "1", "null", "[1]"], ["2", '"\\u00fc"']),
        ({"type": "string", "enum": ["a", 1]}, ['"a"'], ["1"]),
        ({"type": "integer", "const": 3}, ["3"], ["true"]),
        (
            {"type": "string", "minLength": 2, "maxLength": 3},
            ['"ab"', '"€\\n€"'],
            ['"a"', '"abcd"'],
        ),
        ({"type": "array", "items": {"type": "null"}}, ["[]", "[null, null]"], ["[1]", "[null,]"]),
        (
            {"type": "array", "items": {"type": "null"}, "minItems": 1, "maxItems": 2},
            ["[null]", "[null,null]"],
            ["[]", "[null,null,null]"],
        ),
        ({"type": "array", "maxItems": 0}, ["[]"], ["[1]"]),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, ["null", "true"], ["1"]),
        ({"additionalProperties": {"type": "null"}}, ["{}", '{"x": null}'], ['{"x": 1}']),
        ({"type": "object", "additionalProperties": False}, ["{}"], ['{"x": 1}']),
        ({"type": "object", "required": ["x"]}, ['{"x": [1]}'], ["{}"]),
        ({}, ["1", '{"a": [true, {"b": null}]}', '"x"'], ["x", "[1", '{"a"}']),
        ({"type": "object"}, ["{}", '{"a": {"b": [1, 2]}}'], ["[]", "1"]),
        ({"title": "T", "description": "D", "type": "null", "default": None}, ["null"], ["1"]),
    ],
)
def test_each_keyword_means_what_it_says(
    schema: dict[str, Any], good: list[str], bad: list[str]
) -> None:
    grammar = Grammar.parse(compile_schema(schema))
    assert [text for text in good if not grammar.accepts(text)] == []
    assert [text for text in bad if grammar.accepts(text)] == []


def test_a_schema_may_refer_to_itself() -> None:
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"v": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}},
                "required": ["v"],
            }
        },
    }
    assert accepts(schema, '{"v": 1, "next": {"v": 2, "next": {"v": 3}}}')
    assert not accepts(schema, '{"v": 1, "next": {}}')
    tree = {"type": "array", "items": {"$ref": "#"}}
    assert accepts(tree, "[[], [[]]]")


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "integer", "minimum": 3}, "minimum"),
        ({"type": "string", "pattern": "^a$"}, "pattern"),
        ({"type": "object", "properties": {"a": {"not": {}}}}, "properties.a.not"),
        ({"oneOf": [{"type": "null"}]}, "oneOf"),
        ({"allOf": [{"type": "null"}]}, "allOf"),
        ({"anyOf": [{"type": "null"}], "minimum": 1}, "minimum"),
        ({"type": "tuple"}, "type"),
        ({"type": []}, "type"),
        ({"type": "null", "items": {}}, "items"),
        ({"anyOf": []}, "anyOf"),
        ({"anyOf": [3]}, "anyOf[0]"),
        ({"enum": []}, "enum"),
        ({"type": "integer", "enum": ["a"]}, "enum"),
        ({"$ref": "https://example.org/schema"}, "$ref"),
        ({"$ref": "#/$defs/none"}, "$ref"),
        ({"type": "array", "minItems": 5000}, "minItems"),
        ({"type": "array", "minItems": 3, "maxItems": 1}, "maxItems"),
        ({"type": "string", "minLength": True}, "minLength"),
        ({"type": "object", "required": "a"}, "required"),
        ({"type": "object", "required": ["a"], "additionalProperties": False}, "required"),
        ({"type": "object", "properties": []}, "properties"),
        ({"properties": {"a": False}}, "properties.a"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_its_path(
    schema: dict[str, Any], path: str
) -> None:
    with pytest.raises(SchemaRefused) as caught:
        compile_schema(schema, path="schema")
    assert caught.value.param == f"schema.{path}"


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def nested_list(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_deep_and_large_schemas_are_refused() -> None:
    compile_schema(nested(30))
    for schema in (
        nested(40),
        nested(5000),
        {"properties": {f"p{n}": {"type": "null"} for n in range(1000)}},
        {"enum": ["x" * 1000] * 200},
        {"const": nested_list(100_000)},
    ):
        with pytest.raises(SchemaRefused):
            compile_schema(schema)


def fits(schema: Any, value: Any) -> bool:
    """Say whether a value fits a schema of :data:`SCHEMAS`, by reading it plainly."""
    if "anyOf" in schema:
        return any(fits(option, value) for option in schema["anyOf"])
    if "enum" in schema:
        return any(json.dumps(value) == json.dumps(option) for option in schema["enum"])
    match schema.get("type"):
        case "object":
            known = schema.get("properties", {})
            return (
                isinstance(value, dict)
                and set(schema.get("required", [])) <= set(value)
                and (not known or set(value) <= set(known))
                and all(fits(known[name], item) for name, item in value.items() if name in known)
            )
        case "array":
            low, high = schema.get("minItems", 0), schema.get("maxItems", 10**9)
            return (
                isinstance(value, list)
                and low <= len(value) <= high
                and all(fits(schema["items"], item) for item in value)
            )
        case "string":
            low, high = schema.get("minLength", 0), schema.get("maxLength", 10**9)
            return isinstance(value, str) and low <= len(value) <= high
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
    return True


NAMES = st.text('ab "\\\né', max_size=4)
LEAVES = (
    st.sampled_from([{"type": "integer"}, {"type": "boolean"}, {"type": "null"}, {}])
    | st.builds(
        lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more},
        st.integers(0, 3),
        st.integers(0, 3),
    )
    | st.lists(NAMES | st.none() | st.integers(), min_size=1, max_size=3).map(lambda v: {"enum": v})
)


def _object(members: dict[str, tuple[Any, bool]]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: schema for name, (schema, _) in members.items()},
        "required": [name for name, (_, needed) in members.items() if needed],
    }


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        st.dictionaries(NAMES, st.tuples(inner, st.booleans()), max_size=4).map(_object)
        | st.builds(
            lambda items, low, more: {
                "type": "array",
                "items": items,
                "minItems": low,
                "maxItems": low + more,
            },
            inner,
            st.integers(0, 2),
            st.integers(0, 2),
        )
        | st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options})
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(SCHEMAS, st.integers(0, 2**32))
def test_every_sentence_of_a_grammar_fits_its_schema(schema: dict[str, Any], seed: int) -> None:
    grammar = Grammar.parse(compile_schema(schema))
    text = grammar.sentence(random.Random(seed))  # noqa: S311 - a choice, not a secret
    assert grammar.accepts(text)
    assert fits(schema, json.loads(text)), text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), JSON))
def test_json_object_accepts_every_object(value: dict[str, Any]) -> None:
    assert Grammar.parse(any_object()).accepts(json.dumps(value))


@given(
    st.recursive(
        JSON,
        lambda inner: st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "items",
                    "anyOf",
                    "enum",
                    "const",
                    "required",
                    "$ref",
                    "minItems",
                ]
            ),
            inner | st.sampled_from(["object", "array", "string", "#", "#/properties", 3]),
            max_size=3,
        ),
        max_leaves=12,
    ).filter(lambda value: isinstance(value, dict))
)
def test_any_schema_at_all_is_compiled_or_refused(schema: dict[str, Any]) -> None:
    try:
        Grammar.parse(compile_schema(schema))
    except SchemaRefused as error:
        assert error.param  # noqa: PT017 - both outcomes are right
