"""JSON equality and JSON Schema on answers that a model gives, and schemas that would never end."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.grading.json_equal import JsonEqual
from canary.grading.json_schema import JsonSchema

CITY = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string", "pattern": "^[A-Z]"}}}
TREE = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
DEEP_ANSWER = '{"children": [' * 200 + "]}" * 200


@pytest.mark.parametrize(
    ("value", "answer", "grade"),
    [
        ({"a": 1, "b": [1, 2]}, '{"b": [1, 2], "a": 1}', 1.0),
        ({"a": 1}, '```json\n{"a": 1}\n```', 1.0),
        ({"a": 1}, '  {"a": 1.0}\n', 1.0),
        ({"a": 1}, '{"a": true}', 0.0),
        ({"a": True}, '{"a": 1}', 0.0),
        ({"a": 1}, '{"a": "1"}', 0.0),
        ({"a": 1}, '{"a": 1, "b": null}', 0.0),
        ({"a": None}, "{}", 0.0),
        ([1, 2], "[2, 1]", 0.0),
        ([1, 2], "The answer is [1, 2].", 0.0),
        ("Paris", "Paris", 0.0),
        ("Paris", '"Paris"', 1.0),
        (None, "null", 1.0),
        ([1], "[1, NaN]", 0.0),
        ([1], '{"a": 1', 0.0),
        ([1], "", 0.0),
        ([1], "[" * 100_000, 0.0),
        ([1], DEEP_ANSWER, 0.0),
        ([1], "\ud800", 0.0),
    ],
)
def test_json_equality_is_that_of_values_not_of_text(value: Any, answer: str, grade: float) -> None:
    assert JsonEqual(value=value).grade(answer).value == grade


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ('{"a": [{"x": 2}, {"x": 1, "y": [4, 3]}]}', 1.0),
        ('{"a": [{"x": 1, "y": [3, 4]}, {"x": 2}]}', 1.0),
        ('{"a": [{"x": 2}, {"x": 2}]}', 0.0),
        ('{"a": [{"x": 2}, {"x": 1, "y": [3, 3, 4]}]}', 0.0),
    ],
)
def test_arrays_in_any_order_are_multisets_at_every_level(answer: str, grade: float) -> None:
    value = {"a": [{"x": 1, "y": [3, 4]}, {"x": 2}]}
    assert JsonEqual(value=value, any_order=True).grade(answer).value == grade


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ('{"city": "Oslo"}', 1.0),
        ('```\n{"city": "Oslo", "more": 1}\n```', 1.0),
        ('{"city": "oslo"}', 0.0),
        ('{"city": 3}', 0.0),
        ("{}", 0.0),
        ("[]", 0.0),
        ("Oslo", 0.0),
    ],
)
def test_a_schema_accepts_what_conforms(answer: str, grade: float) -> None:
    assert JsonSchema(schema=CITY).grade(answer).value == grade


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ('{"a1": 1, "b": "x"}', 1.0),
        ("{}", 1.0),
        ('{"a1": "x"}', 0.0),
        ('{"ba": 1}', 0.0),
        ("[]", 1.0),
    ],
)
def test_properties_are_judged_by_their_names_patterns(answer: str, grade: float) -> None:
    schema = {
        "patternProperties": {"^a": {"type": "integer"}},
        "properties": {"b": True},
        "additionalProperties": False,
    }
    assert JsonSchema(schema=schema).grade(answer).value == grade
    open_schema = {"patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": {"type": "string"}}
    assert JsonSchema(schema=open_schema).grade('{"a": 1, "c": "x"}').value == 1.0
    assert JsonSchema(schema=open_schema).grade('{"a": 1, "c": 1}').value == 0.0


def test_a_name_or_a_value_that_reads_as_a_keyword_is_none() -> None:
    properties = {"$dynamicRef": {"type": "string"}, "pattern": {"const": {"pattern": "(?=a)", "$ref": "#/none"}}}
    assert JsonSchema(schema={"properties": properties}).grade('{"$dynamicRef": "x"}').value == 1.0


@pytest.mark.parametrize("schema", [{"multipleOf": 0.5}, {"maximum": 5}, {"enum": [1]}])
@pytest.mark.parametrize("digits", [400, 5000, 100_000])
def test_a_number_beyond_all_bounds_is_no_json(schema: dict[str, Any], digits: int) -> None:
    number = "1" + "0" * digits
    for answer in (number, f'{{"a": [{number}]}}'):
        assert JsonSchema(schema=schema).grade(answer).value == 0.0
        assert JsonEqual(value=1).grade(answer).value == 0.0


def test_the_reason_names_the_place_and_not_the_answer() -> None:
    grade = JsonSchema(schema=CITY).grade('{"city": 3}')
    assert grade.reason == "does not conform: type at $.city"


def test_a_schema_may_recur_into_the_value() -> None:
    assert JsonSchema(schema=TREE).grade('{"children": [{"children": []}]}').value == 1.0
    assert JsonSchema(schema=TREE).grade('{"children": [{"children": 1}]}').value == 0.0
    assert JsonSchema(schema=TREE).grade(DEEP_ANSWER).value == 0.0


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "#"}, "refers to itself without end: # -> #"),
        (
            {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}},
            "refers to itself without end",
        ),
        ({"if": {"$ref": "#"}}, "refers to itself without end"),
        ({"$ref": "https://example.org/schema"}, "only `#` and `#/...` are supported"),
        ({"$ref": "#/$defs/missing"}, "which it does not hold"),
        ({"items": {"$dynamicRef": "#x"}}, "'$dynamicRef', which is not supported"),
        ({"properties": {"a": {"$recursiveRef": "#"}}}, "'$recursiveRef', which is not supported"),
        ({"patternProperties": {"(?=a)": {}}}, "not supported by RE2"),
        (
            {"patternProperties": {"a": {}}, "allOf": [{"unevaluatedProperties": False}]},
            "beside 'unevaluatedProperties'",
        ),
        ({"$ref": "#/more", "more": {"type": "colour"}}, "is no JSON Schema"),
        ({"$ref": "#/more", "more": {"pattern": "(?=a)"}}, "not supported by RE2"),
        ({"pattern": "(?=a)"}, "not supported by RE2"),
        ({"properties": {"a": {"pattern": "(a)\\1"}}}, "not supported by RE2"),
        ({"type": "colour"}, "is no JSON Schema"),
        ({"minimum": "3"}, "is no JSON Schema"),
    ],
)
def test_a_schema_that_cannot_be_applied_is_refused_when_read(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"schema|pattern") as raised:
        JsonSchema(schema=schema)
    assert words in str(raised.value)


def test_a_pattern_takes_linear_time() -> None:
    schema = JsonSchema(schema={"pattern": "^(a+)+$"})
    assert schema.grade('"' + "a" * 5000 + 'b"').value == 0.0


@given(st.text())
def test_no_answer_breaks_a_json_grader(answer: str) -> None:
    assert JsonEqual(value={"a": [1]}).grade(answer).value == 0.0
    assert JsonSchema(schema=TREE).grade(answer).value in {0.0, 1.0}
