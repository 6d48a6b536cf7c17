"""Compiling schemas and grammars: what is refused, by which name, and that what is not refused keeps its promise."""

import contextlib
import json
import time
from typing import Any

import jsonschema
import pytest

from gateway.engine.grammar import GrammarError, json_rule
from gateway.wire import GrammarKind, GrammarSpec
from tests.support.schemas import random_schema
from tests.support.tiny_model import grammars
from tests.support.walks import Walker, accepts

SCHEMAS = 40


def _spec(schema: object) -> GrammarSpec:
    return GrammarSpec(kind=GrammarKind.JSON_SCHEMA, source=json.dumps(schema), param="response_format")


def _refusal(schema: object) -> str:
    with pytest.raises(GrammarError) as refused:
        grammars().compile(_spec(schema))
    return str(refused.value)


def _accepts(schema: object, document: str) -> bool:
    return accepts(grammars(), grammars().compile(_spec(schema)), document)


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"not": {"type": "string"}}, "not"),
        ({"if": {"type": "string"}, "then": {"minLength": 1}}, "if"),
        ({"type": "array", "contains": {"type": "string"}}, "contains"),
        ({"propertyNames": {"pattern": "^a"}}, "propertyNames"),
        ({"dependentRequired": {"a": ["b"]}}, "dependentRequired"),
        ({"unevaluatedProperties": False}, "unevaluatedProperties"),
        ({"oneOf": [{"minimum": 3}, {"maximum": 5}]}, "oneOf"),
        ({"type": "string", "format": "nonsense"}, "nonsense"),
        ({"type": "string", "pattern": "^(?=a)"}, "look-around"),
        ({"$ref": "https://example.com/schema"}, "https://example.com/schema"),
        ({"$dynamicRef": "#a"}, "$dynamicRef"),
        ({"type": "object", "minProperties": 2}, "minProperties"),
        ({"properties": {"a": {"allOf": [{"minProperties": 3, "required": ["b"]}]}}}, "minProperties"),
        ({"const": "nul\0"}, "control character"),
        ({"enum": ["\x1f"]}, "control character"),
        ({"type": "string", "pattern": r"^a\x01b$"}, "control character"),
    ],
)
def test_what_cannot_be_promised_is_refused_by_name(schema: object, named: str) -> None:
    assert named in _refusal(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strin"},
        {"properties": 3},
        {"type": "string", "minLength": "x"},
        {"type": "string", "pattern": "("},
        {"$ref": "#/nowhere"},
        {"enum": []},
        {"type": "integer", "minimum": 5, "maximum": 2},
        {"$ref": "#/$defs/n", "$defs": {"n": {"$ref": "#/$defs/n"}}},
    ],
)
def test_a_schema_that_is_none_or_that_nothing_matches_is_refused(schema: object) -> None:
    assert _refusal(schema)


def test_a_client_cannot_loosen_the_options_of_its_grammar() -> None:
    assert "not" in _refusal({"not": {}, "x-guidance": {"lenient": True}})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {f"p{n}": True for n in range(1001)}},
        {"enum": list(range(1001))},
        {"type": "string", "description": "x" * 120_000},
    ],
)
def test_a_schema_over_the_limits_is_refused(schema: object) -> None:
    assert any(limit in _refusal(schema) for limit in ("1000", "120000"))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "(a{1000}){1000}"},
        {"type": "string", "pattern": "^(a?){1000}(b*){1000}c{3,5000}$"},
        {"type": "string", "pattern": "^.*a.{500}$"},
        {"type": "string", "minLength": 100_000},
        {"type": "array", "minItems": 100_000, "items": {"type": "string"}},
        {"anyOf": [{"type": "string", "pattern": f"^{'(a|b)*' * 30}{n}$"} for n in range(60)]},
        {"type": "integer", "multipleOf": 9_973},
        {"type": "integer", "multipleOf": 999_983},
        {"allOf": [{"type": "integer", "multipleOf": prime} for prime in (7_907, 7_919)]},
        {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(1000)}},
    ],
)
def test_a_bomb_is_refused_or_compiled_in_a_moment(schema: object) -> None:
    """Compiling holds up nothing but requests; a moment is far below what clients time out after."""
    started_s = time.perf_counter()
    try:
        constraint = grammars().compile(_spec(schema))
    except GrammarError:
        pass
    else:
        Walker(grammars()).walk(constraint, seed=1, max_tokens=30)
    assert time.perf_counter() - started_s < 10


def test_recursion_through_a_reference_is_followed() -> None:
    schema = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["children"],
        "additionalProperties": False,
    }
    assert _accepts(schema, '{"children": [{"children": [{"children": []}]}]}')
    assert not _accepts(schema, '{"children": [{"children": [{}]}]}')


def test_a_key_cannot_be_spelt_with_escapes_past_its_own_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert _accepts(schema, '{"b": "x"}')
    assert not _accepts(schema, '{"b": 1, "\\u0061": "x"}')
    assert not _accepts(schema, '{"b": 1, "a": "x"}')


def test_blanks_between_tokens_have_an_end() -> None:
    assert _accepts({"type": "object"}, "{" + " " * 20 + "}")
    assert not _accepts({"type": "object"}, "{" + " " * 21 + "}")


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("date", "2024-02-29", "2023-02-29"),
        ("date", "2000-02-29", "1900-02-29"),
        ("date", "2023-04-30", "2023-04-31"),
        ("date", "0001-01-01", "0000-01-01"),
        ("time", "23:59:59.123456Z", "23:59:60Z"),
        ("date-time", "2024-02-29T00:00:00+01:00", "2023-02-29T00:00:00+01:00"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
        ("ipv4", "127.0.0.1", "256.0.0.1"),
    ],
)
def test_a_format_is_held_to(kind: str, good: str, bad: str) -> None:
    schema = {"type": "string", "format": kind}
    assert _accepts(schema, json.dumps(good))
    assert not _accepts(schema, json.dumps(bad))


def test_a_date_is_held_to_beside_a_pattern_and_left_alone_where_it_is_no_schema() -> None:
    schema = {"type": "string", "format": "date", "pattern": "^2024"}
    assert _accepts(schema, '"2024-02-29"')
    assert not _accepts(schema, '"2023-02-28"')
    assert _accepts({"const": {"format": "date"}}, '{"format": "date"}')
    assert _accepts({"properties": {"format": {"const": "date"}}, "required": ["format"]}, '{"format": "date"}')


def test_a_schema_stands_in_a_grammar_of_literal_text() -> None:
    rule = json_rule({"type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": False})
    spec = GrammarSpec(
        kind=GrammarKind.LARK,
        source=f'start: "<tool_call>\\n{{\\"arguments\\": " args "}}\\n</tool_call>"\nargs: {rule}\n',
        param="tools",
    )
    assert accepts(grammars(), grammars().compile(spec), '<tool_call>\n{"arguments": {"x": 4}}\n</tool_call>')
    assert not accepts(grammars(), grammars().compile(spec), '<tool_call>\n{"arguments": {"y": 4}}\n</tool_call>')


def test_a_grammar_that_is_none_is_refused() -> None:
    with pytest.raises(GrammarError):
        grammars().compile(GrammarSpec(kind=GrammarKind.LARK, source="start: nothing", param="tools"))


@pytest.mark.parametrize("seed", range(SCHEMAS))
def test_whatever_a_model_writes_to_the_end_is_valid(seed: int) -> None:
    """tests/campaign/structured_output.py does the same with more of them, and with the public test suite."""
    schema: Any = random_schema(seed)
    try:
        constraints = [grammars().compile(_spec(schema)) for _ in range(2)]
    except GrammarError:
        return
    walker = Walker(grammars())
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    for number, constraint in enumerate(constraints):
        if (document := walker.walk(constraint, seed=number)) is not None:
            validator.validate(json.loads(document))  # pyright: ignore[reportUnknownMemberType] - untyped


def test_most_random_schemas_are_compiled_and_most_walks_end() -> None:
    """Else the test above would show nothing."""
    walker = Walker(grammars())
    ended = 0
    for seed in range(SCHEMAS):
        with contextlib.suppress(GrammarError):
            ended += walker.walk(grammars().compile(_spec(random_schema(seed))), seed=0) is not None
    assert ended >= SCHEMAS // 3
