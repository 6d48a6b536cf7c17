"""The program grader: right in every world or wrong, and field access beside it."""

import re
from typing import Any

import msgspec
import pytest

from canary.grading.plain_answer import PlainAnswer
from canary.grading.program import Program, ReadyProgram
from canary.programs.tools import Tool
from gateway.contracts.evaluations import Grade, Metric, Ungraded

ORDER: dict[str, Any] = {
    "status": "str",
    "total": "float",
    "tax": "float",
    "customer": {"email": "str", "phone": "str | None"},
}
TOOLS = {
    "get_order": Tool(description="Get.", arguments={"order_id": "str"}, returns=ORDER),
    "send_email": Tool(description="Mail.", effect=True, arguments={"to": "str", "template": "str"}),
    "send_sms": Tool(description="Text.", effect=True, arguments={"to": "str", "template": "str"}),
    "list_orders": Tool(
        description="List.", arguments={"batch": "str"}, returns={"orders": [{"id": "str", "paid": "bool"}]}
    ),
}


def world(status: str, email: str, total: float = 5.0) -> dict[str, Any]:
    order = {"status": status, "total": total, "tax": total / 5, "customer": {"email": email, "phone": None}}
    return {"get_order": {'{"order_id":"O1"}': order}}


BRANCH = Program(
    tools=("get_order", "send_email", "send_sms"),
    oracle="""
o = get_order(order_id='O1')
if o['status'] == 'delayed':
    send_email(to=o['customer']['email'], template='late')
else:
    send_email(to=o['customer']['email'], template='ok')
""",
    worlds=(world("delayed", "a@x"), world("shipped", "a@x"), world("delayed", "c@x"), world("open", "d@x")),
    fields=("get_order.status", "get_order.customer.email"),
)
TOTAL = Program(
    tools=("get_order",),
    oracle="result = get_order(order_id='O1')['total']\n",
    worlds=(world("open", "a@x", 5.0), world("open", "a@x", 40.0)),
    fields=("get_order.total",),
)


def ready(program: Program) -> ReadyProgram:
    return program.ready(TOOLS)


def graded(program: Program, source: str) -> Grade:
    grade = ready(program).grade(f"Sure:\n\n```python\n{source}\n```")
    assert isinstance(grade, Grade), grade
    return grade


def field_access(grade: Grade) -> float:
    return grade.measures[Metric.FIELD_ACCESS]


def test_the_oracle_is_right_and_uses_every_field() -> None:
    for program in (BRANCH, TOTAL):
        grade = graded(program, program.oracle)
        assert (grade.value, field_access(grade)) == (1.0, 1.0)


def test_a_program_with_its_branches_swapped_is_wrong_and_uses_the_right_fields() -> None:
    grade = graded(BRANCH, BRANCH.oracle.replace("==", "!="))

    assert (grade.value, field_access(grade)) == (0.0, 1.0)
    assert grade.reason.startswith("wrong_effect: world 0:")


def test_a_program_that_always_takes_one_branch_uses_one_field_of_two() -> None:
    grade = graded(BRANCH, "o = get_order('O1')\nsend_email(o['customer']['email'], 'late')")

    assert (grade.value, field_access(grade)) == (0.0, 0.5)


def test_a_hard_coded_program_uses_no_field() -> None:
    grade = graded(BRANCH, "send_email(to='a@x', template='late')")

    assert (grade.value, field_access(grade)) == (0.0, 0.0)


def test_a_result_that_is_off_by_a_constant_is_wrong_and_uses_the_field() -> None:
    grade = graded(TOTAL, "result = get_order('O1')['total'] + 1")

    assert (grade.value, field_access(grade)) == (0.0, 1.0)
    assert grade.reason == "wrong_result: world 0: result: 6.0 instead of 5.0"


def test_another_field_that_goes_along_in_every_world_is_no_field_access() -> None:
    grade = graded(TOTAL, "result = get_order('O1')['tax'] * 5")

    assert (grade.value, field_access(grade)) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("send_email(to='a@x', template='late')", "extract: "),
        ("```python\nx = (\n```", "syntax: "),
        ("```python\nget_order('O1').status\n```", "type: "),
        ("```python\nget_orders('O1')\n```", "unknown_tool: "),
        ("```python\nget_order('O2')\n```", "bad_argument: "),
        ("```python\nget_order('O1')['state']\n```", "exception: "),
        ("```python\nfor _ in range(200): get_order('O1')\n```", "too_many_calls: "),
        (
            "```python\npass\n```",
            "wrong_effect: world 0: effects: none instead of send_email(to='a@x', template='late')",
        ),
    ],
)
def test_a_failure_names_its_class(answer: str, reason: str) -> None:
    grade = ready(BRANCH).grade(answer)

    assert isinstance(grade, Grade)
    assert grade.value == 0.0
    assert grade.reason.startswith(reason)
    assert field_access(grade) == 0.0


def test_what_the_sandbox_does_not_run_is_ungraded() -> None:
    grade = ready(TOTAL).grade("```python\ndef f():\n    yield 1\nresult = get_order('O1')['total']\n```")

    assert isinstance(grade, Ungraded)
    assert grade.reason.startswith("sandbox_unsupported: ")


def test_a_program_that_is_wrong_in_one_world_is_wrong_whatever_the_sandbox_does_not_run_in_another() -> None:
    grade = graded(TOTAL, "t = get_order('O1')['total']\nimport math\nresult = 5.5 if t == 5.0 else callable(t)")

    assert (grade.value, grade.measures) == (0.0, {})
    assert grade.reason.startswith("wrong_result: world 0:")


def test_a_case_without_fields_measures_no_field_access() -> None:
    grade = graded(msgspec.structs.replace(TOTAL, fields=()), TOTAL.oracle)

    assert grade.measures == {}


def test_reading_more_than_the_oracle_is_free_and_an_effect_more_is_not() -> None:
    assert graded(BRANCH, "get_order('O1')\n" + BRANCH.oracle).value == 1.0
    assert graded(BRANCH, BRANCH.oracle + "send_sms(to='a', template='b')\n").value == 0.0


def test_a_result_counts_only_where_the_oracle_sets_one() -> None:
    assert graded(BRANCH, BRANCH.oracle + "result = 5\n").value == 1.0
    assert graded(TOTAL, "get_order('O1')['total']").value == 1.0
    assert graded(TOTAL, "print(get_order('O1')['total'])").value == 0.0


def test_a_list_that_comes_with_an_element_flipped_is_counted_by_the_element() -> None:
    lists = [[("a", True), ("b", False)], [], [("c", False)]]
    program = Program(
        tools=("list_orders",),
        oracle="result = [o['id'] for o in list_orders(batch='B')['orders'] if o['paid']]\n",
        worlds=tuple({"list_orders": {"*": {"orders": [{"id": i, "paid": p} for i, p in orders]}}} for orders in lists),
        fields=("list_orders.orders.*.paid", "list_orders.orders.*.id"),
    )

    ignoring = graded(program, "result = [o['id'] for o in list_orders(batch='B')['orders']]")

    assert field_access(graded(program, program.oracle)) == 1.0
    assert (ignoring.value, field_access(ignoring)) == (0.0, 0.5)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"oracle": "result = ("}, "`oracle` is no Python"),
        ({"worlds": (world("open", "a@x"),)}, "at least 2"),
    ],
)
def test_a_case_that_cannot_be_right_is_refused_as_it_is_read(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        msgspec.convert({"kind": "program", **msgspec.to_builtins(TOTAL), **change}, Program)


UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"tools": ("get_orders",)}, "the tool 'get_orders' is not in the catalogue"),
    ({"fields": ("get_order.totl",)}, "there is no 'totl' in what 'get_order' returns"),
    ({"fields": ("get_order.customer",)}, "ends at a record"),
    ({"fields": ("send_sms.x",)}, "'send_sms' is none of the case's tools"),
    ({"worlds": ({}, {"get_order": {"*": {}}})}, "world 1.get_order[*]: the field 'status' is missing"),
    ({"define": {"get order": TOOLS["get_order"]}}, "tool get order"),
]


@pytest.mark.parametrize(("change", "complaint"), UNFIT)
def test_a_case_that_does_not_fit_its_tools_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        msgspec.structs.replace(TOTAL, **change).ready(TOOLS)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"oracle": "result = get_order(order_id='O2')['total']"}, "the oracle fails in world 0: bad_argument"),
        ({"fields": ("get_order.status",)}, "the field 'get_order.status' never matters"),
    ],
)
def test_a_wrong_oracle_is_found_and_grades_nobody(change: dict[str, Any], complaint: str) -> None:
    program = ready(msgspec.structs.replace(TOTAL, **change))

    assert complaint in (program.complaint() or "")
    assert isinstance(program.grade(f"```python\n{TOTAL.oracle}\n```"), Ungraded)


PLAIN = PlainAnswer(tools=("get_order",), pattern="(?i)not found").ready(TOOLS)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("It means Not Found.", 1.0),
        ("It is an error.", 0.0),
        ("```python\nresult = 'not found'\n```", 0.0),
        ("It means not found.\n```python\nget_order('O1')\n```", 0.0),
        ("<think>\n```python\nx\n```\n</think>Not found.", 1.0),
        ("<think>It is not found.</think>I do not know.", 0.0),
        ("get_order(order_id='404')  # not found", 0.0),
        ("Not found: `get_order (order_id='O1')` says so.", 0.0),
        ("Not found, says my get_order tool.", 1.0),
        ("It means not found.\n```\nget_order('O1')", 0.0),
    ],
)
def test_a_plain_answer_matches_and_holds_no_program(answer: str, value: float) -> None:
    assert PLAIN.grade(answer).value == value


@pytest.mark.parametrize("pattern", ["", "(?=x)", r"(a)\1"])
def test_a_plain_answers_pattern_is_checked(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        PlainAnswer(tools=("get_order",), pattern=pattern)
