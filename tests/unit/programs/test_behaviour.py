"""When two behaviours are the same, and when they change the same way."""

from typing import Any

import pytest

from canary.programs.behaviour import Behaviour, Effect, difference, same
from canary.programs.change import change_between


def did(*effects: tuple[str, Any], result: Any = None) -> Behaviour:
    return Behaviour(
        effects=tuple(Effect(tool=tool, arguments={"to": value}) for tool, value in effects), result=result
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (2, 2.0),
        (0.1 + 0.2, 0.3),
        (0.1 + 0.2 - 0.3, 0.0),
        (2**60, float(2**60)),
        ([1, (2,)], [1, [2]]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1.0}),
        (None, None),
        (True, True),
    ],
)
def test_values_that_read_the_same_are(one: Any, other: Any) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (2_000_000_001, 2_000_000_002),
        (0.0, 1e-9),
        (float("nan"), float("nan")),
        (float("inf"), 1e308),
        ("A", "\u0410"),
        (0, False),
        (0, None),
        ("1", 1),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ({"a": 1}, {"a": 1, "b": None}),
        ("", None),
    ],
)
def test_values_of_another_kind_or_order_are_not(one: Any, other: Any) -> None:
    assert not same(one, other)


def test_the_order_of_effects_counts_unless_the_case_says_otherwise() -> None:
    one, other = did(("mail", "a"), ("log", "b")), did(("log", "b"), ("mail", "a"))

    assert difference(one, other, "ordered") is not None
    assert difference(one, other, "multiset") is None
    assert difference(did(("mail", "a")), did(("mail", "a"), ("mail", "a")), "multiset") is not None


@pytest.mark.parametrize(
    ("oracle", "candidate"),
    [
        pytest.param((did(("mail", "a")), did(("mail", "b"))), (did(("mail", "a")), did(("mail", "b"))), id="right"),
        pytest.param(
            (did(("mail", "a")), did(("sms", "b"))), (did(("sms", "b")), did(("mail", "a"))), id="branches swapped"
        ),
        pytest.param((did(("fan", "on")), did()), (did(), did(("fan", "on"))), id="done where it should not be"),
        pytest.param((did(result=9), did(result=2)), (did(result=10), did(result=3)), id="off by one"),
        pytest.param((did(result=9), did(result=2)), (did(result=5), did(result=12)), id="the other half"),
        pytest.param((did(result="a"), did(result="b")), (did(result="a"), did(result="b")), id="text"),
        pytest.param((did(result=True), did(result=False)), (did(result=False), did(result=True)), id="negated"),
    ],
)
def test_a_program_that_uses_the_field_changes_as_the_oracle_does(
    oracle: tuple[Behaviour, Behaviour], candidate: tuple[Behaviour, Behaviour]
) -> None:
    assert change_between(*oracle, "ordered")
    assert change_between(*candidate, "ordered") == change_between(*oracle, "ordered")


@pytest.mark.parametrize(
    ("oracle", "candidate"),
    [
        pytest.param(
            (did(("mail", "a")), did(("mail", "b"))), (did(("mail", "a")), did(("mail", "a"))), id="hard-coded"
        ),
        pytest.param(
            (did(("mail", "a")), did(("mail", "b"))), (did(("mail", "a")), did(("sms", "b"))), id="wrong tool"
        ),
        pytest.param((did(result=9), did(result=2)), (did(result=9), did(result=9)), id="no change"),
        pytest.param((did(result=9), did(result=2)), (did(result=18), did(result=4)), id="doubled"),
        pytest.param(
            (did(result=[1, 2]), did(result=[1, 5])), (did(result=[2, 1]), did(result=[5, 1])), id="wrong place"
        ),
    ],
)
def test_a_program_that_does_not_use_it_there_changes_otherwise(
    oracle: tuple[Behaviour, Behaviour], candidate: tuple[Behaviour, Behaviour]
) -> None:
    assert change_between(*candidate, "ordered") != change_between(*oracle, "ordered")


def test_another_order_of_the_same_effects_is_a_change_where_order_counts() -> None:
    one, other = did(("mail", "a"), ("mail", "b")), did(("mail", "b"), ("mail", "a"))

    assert change_between(one, other, "ordered")
    assert not change_between(one, other, "multiset")
