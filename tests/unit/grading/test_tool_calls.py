"""Tool calls against expectations, by BFCL's rules."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.grading.call_text import BadCall, Call, find_calls
from canary.grading.tool_calls import ExpectedCall, ToolCalls

WEATHER = ExpectedCall(
    name="weather", arguments={"city": ("Oslo", "Oslo, Norway"), "unit": ("c", "")}, optional=("unit",)
)
ONE = ToolCalls(calls=(WEATHER,))


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps(call("f", x=1)),
        json.dumps([call("f", x=1)]),
        json.dumps({"name": "f", "parameters": {"x": 1}}),
        json.dumps({"function": {"name": "f", "arguments": '{"x": 1}'}, "id": "1", "type": "function"}),
        json.dumps({"tool_calls": [{"function": {"name": "f", "arguments": '{"x": 1}'}}]}),
        f"```json\n{json.dumps(call('f', x=1))}\n```",
        f"I will look.\n<tool_call>\n{json.dumps(call('f', x=1))}\n</tool_call>",
    ],
)
def test_a_call_is_found_in_each_form(answer: str) -> None:
    assert find_calls(answer) == (Call("f", {"x": 1}),)


@pytest.mark.parametrize(
    "answer", ["", "It is sunny.", "{}", "[]", "3", '{"name": 3}', '[{"name": "f"}, 3]', "[1", "null"]
)
def test_what_is_no_call_is_none(answer: str) -> None:
    assert find_calls(answer) == ()


@pytest.mark.parametrize(
    "answer",
    [
        "<tool_call>{}</tool_call>",
        "<tool_call>{",
        "<tool_call>oops</tool_call>",
        '{"name": "f", "arguments": 3}',
        '{"name": "f", "arguments": "oops"}',
    ],
)
def test_a_call_that_cannot_be_read_scores_zero_whatever_was_wanted(answer: str) -> None:
    with pytest.raises(BadCall):
        find_calls(answer)
    for expectation in (ONE, ToolCalls(expect="none"), ToolCalls(expect="any")):
        assert expectation.grade(answer).value == 0.0


@pytest.mark.parametrize(
    ("arguments", "value", "words"),
    [
        ({"city": "Oslo", "unit": "c"}, 1.0, "expected"),
        ({"city": "oslo norway"}, 1.0, "expected"),
        ({"city": "OSLO", "unit": ""}, 1.0, "expected"),
        ({"city": "Bergen"}, 0.0, "another value of city"),
        ({"city": "Oslo", "unit": "f"}, 0.0, "another value of unit"),
        ({"unit": "c"}, 0.0, "lacks the argument city"),
        ({"city": "Oslo", "day": 1}, 0.0, "unexpected argument day"),
        ({"city": ["Oslo"]}, 0.0, "another value of city"),
    ],
)
def test_arguments_are_compared_with_what_is_accepted(arguments: dict[str, Any], value: float, words: str) -> None:
    grade = ONE.grade(json.dumps(call("weather", **arguments)))
    assert grade.value == value
    assert words in grade.reason


@pytest.mark.parametrize(
    ("given", "value"), [(5, 1.0), (5.0, 1.0), ("5", 0.0), (True, 0.0), ([5], 0.0), ({"n": 5}, 0.0), (None, 0.0)]
)
def test_a_number_is_no_text_and_no_truth_value(given: Any, value: float) -> None:
    expectation = ToolCalls(calls=(ExpectedCall(name="f", arguments={"x": (5,)}),))
    assert expectation.grade(json.dumps(call("f", x=given))).value == value


def test_nested_strings_are_compared_as_loosely() -> None:
    expectation = ToolCalls(calls=(ExpectedCall(name="f", arguments={"x": ({"to": ["Ann", "B-o"]},)}),))
    assert expectation.grade(json.dumps(call("f", x={"to": ["ann", "bo"]}))).value == 1.0
    assert expectation.grade(json.dumps(call("f", x={"to": ["bo", "ann"]}))).value == 0.0


def test_another_function_is_wrong() -> None:
    assert ONE.grade(json.dumps(call("forecast", city="Oslo"))).reason == "calls forecast, expected weather"


def test_the_number_of_calls_counts() -> None:
    assert ONE.grade(json.dumps([call("weather", city="Oslo")] * 2)).value == 0.0
    assert ONE.grade("It rains.").value == 0.0


def test_parallel_calls_match_in_any_order_and_each_once() -> None:
    either = ExpectedCall(name="f", arguments={"x": (1, 2)})
    one = ExpectedCall(name="f", arguments={"x": (1,)})
    expectation = ToolCalls(calls=(either, one))
    assert expectation.grade(json.dumps([call("f", x=1), call("f", x=2)])).value == 1.0
    assert expectation.grade(json.dumps([call("f", x=2), call("f", x=1)])).value == 1.0
    assert expectation.grade(json.dumps([call("f", x=2), call("f", x=2)])).value == 0.0
    both = ToolCalls(calls=(one, one))
    assert (
        both.grade(json.dumps([call("f", x=1), call("f", x=2)])).reason
        == "two expected calls fit only one of those made"
    )


def test_an_order_can_be_demanded() -> None:
    calls = (ExpectedCall(name="a"), ExpectedCall(name="b"))
    answer = json.dumps([call("b"), call("a")])
    assert ToolCalls(calls=calls).grade(answer).value == 1.0
    assert ToolCalls(calls=calls, in_order=True).grade(answer).value == 0.0


def test_irrelevance_wants_no_call_and_relevance_any() -> None:
    some, none = json.dumps(call("f")), "I cannot book flights."
    assert [ToolCalls(expect="none").grade(answer).value for answer in (some, none)] == [0.0, 1.0]
    assert [ToolCalls(expect="any").grade(answer).value for answer in (some, none)] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({}, "at least one call"),
        ({"expect": "none", "calls": (WEATHER,)}, "be left out"),
        ({"calls": (WEATHER,) * 17}, "at most 16"),
        ({"calls": (ExpectedCall(name="f", arguments={"x": ()}),)}, "has no acceptable value"),
        ({"calls": (ExpectedCall(name="f", optional=("x",)),)}, "has no acceptable value"),
    ],
)
def test_an_expectation_that_cannot_be_met_is_refused(kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ToolCalls(**kwargs)


@given(st.text())
def test_no_answer_breaks_the_grader(answer: str) -> None:
    assert ONE.grade(answer).value in {0.0, 1.0}
    assert ONE.grade(f"<tool_call>{answer}</tool_call>").value == 0.0


@pytest.mark.parametrize(
    "answer",
    [
        'Sure!\n```json\n{"name": "f", "arguments": {}}\n```\nDone.',
        "```python\n[f()]\n```",
        "f(x=1)",
        '[f(x="a"), g()]',
        '```\n[1, 2]\n```\n```json\n[{"name": "f", "arguments": {}}]\n```',
        "<think>No tool helps.</think>f()",
    ],
)
def test_a_call_is_one_whatever_is_said_around_it(answer: str) -> None:
    assert ToolCalls(expect="none").grade(answer).value == 0.0
    assert ToolCalls(expect="any").grade(answer).value == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        "No tool (of these) helps.",
        "f",
        "f(1)",
        "[1, 2]",
        "[]",
        "f(x=g())",
        "f(x={[]: 1})",
        "(" * 5000,
        "-" * 5000 + "1",
        "f(x='\\d')" * 5000,
        '<think>{"name": "f"}</think>I cannot.',
        "\x00",
        "\ud800",
    ],
)
def test_what_is_no_call_breaks_nothing(answer: str) -> None:
    assert ToolCalls(expect="none").grade(answer).value == 1.0


def test_pythons_calls_are_compared_as_json_s_are() -> None:
    assert ONE.grade("[weather(city='Oslo')]").value == 1.0
    assert ONE.grade("weather(city='Bergen')").value == 0.0
    assert ONE.grade("weather(**{'city': 'Oslo'})").value == 0.0


def test_openings_without_end_take_linear_time() -> None:
    assert ToolCalls(expect="none").grade("<tool_call>" * 50_000).reason == "a <tool_call> has no end"
