"""How the parts of a composite become one grade, above all where one of them declines."""

from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from canary.grading import Expectation, Grader, Setting, identity_of, make_ready
from canary.grading.composite import Composite, ReadyComposite
from canary.grading.numeric import Numeric
from canary.grading.regex import Regex
from gateway.contracts.evaluations import Grade, Metric, Ungraded

SETTING = Setting(directory=Path(), tools={}, case_id="c", place="cases.jsonl, line 3", prompt="?")
A, B, C = Regex(pattern="a"), Regex(pattern="b"), Regex(pattern="c")
DECLINES = Numeric(value=1)
"""On `1,5`, which may be two numbers."""


def ready(expectation: Expectation) -> Grader:
    return make_ready(expectation, SETTING)


def value_of(expectation: Expectation, answer: str) -> float | None:
    grade = ready(expectation).grade(answer)
    return grade.value if isinstance(grade, Grade) else None


@pytest.mark.parametrize(
    ("rule", "values"), [("all", (1, 0, 0)), ("any", (1, 1, 0)), ("none", (0, 0, 1)), ("weighted", (1, 0.5, 0))]
)
def test_a_rule_combines_the_parts(rule: Any, values: tuple[float, ...]) -> None:
    composite = Composite(rule=rule, of=(A, B))
    assert tuple(value_of(composite, answer) for answer in ("ab", "a", "")) == values


@pytest.mark.parametrize(("threshold", "value"), [(None, 0.75), (0.75, 1), (0.76, 0)])
def test_weights_and_a_threshold(threshold: float | None, value: float) -> None:
    composite = Composite(rule="weighted", of=(A, B), weights=(3, 1), threshold=threshold)
    assert value_of(composite, "a") == value


def test_a_mean_that_misses_the_threshold_by_rounding_has_reached_it() -> None:
    composite = Composite(rule="weighted", of=(A, B, C), weights=(0.1, 0.2, 0.3), threshold=0.5)
    assert value_of(composite, "ab") == 1


@pytest.mark.parametrize(
    ("rule", "answer", "value"),
    [
        ("all", "1,5", 0),
        ("all", "1,5 a", None),
        ("any", "1,5 a", 1),
        ("any", "1,5", None),
        ("none", "1,5 a", 0),
        ("none", "1,5", None),
        ("weighted", "1,5 a", None),
    ],
)
def test_a_part_that_declines_leaves_the_rest_to_decide_only_if_it_can(
    rule: Any, answer: str, value: float | None
) -> None:
    assert value_of(Composite(rule=rule, of=(DECLINES, A)), answer) == value


def test_composites_nest() -> None:
    inner = Composite(rule="none", of=(B,))
    assert [value_of(Composite(rule="all", of=(A, inner)), answer) for answer in ("a", "ab")] == [1, 0]
    decoded = msgspec.json.decode(msgspec.json.encode(Composite(rule="all", of=(A, inner))), type=Expectation)
    assert decoded == Composite(rule="all", of=(A, inner))


def test_the_lowest_of_a_further_measure_is_kept() -> None:
    class Measures:
        kind: ClassVar[str] = "measures"
        version: ClassVar[int] = 1

        def __init__(self, value: float) -> None:
            self.value = value

        def grade(self, answer: str) -> Grade | Ungraded:
            return Grade(value=1.0, reason=answer, measures={Metric.FIELD_ACCESS: self.value})

        def describe(self) -> str:
            return "anything"

    parts = (Measures(0.5), Measures(0.25))
    grade = ReadyComposite(written=Composite(rule="all", of=(A, B)), parts=parts).grade("x")
    assert isinstance(grade, Grade)
    assert grade.measures == {Metric.FIELD_ACCESS: 0.25}


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"rule": "all", "of": ()}, "at least one"),
        ({"rule": "all", "of": (A,), "weights": (1.0,)}, "belong to"),
        ({"rule": "weighted", "of": (A, B), "weights": (1.0,)}, "1 numbers for 2 graders"),
        ({"rule": "weighted", "of": (A,), "weights": (0.0,)}, "not all 0"),
        ({"rule": "weighted", "of": (A,), "weights": (float("inf"),)}, "finite"),
        ({"rule": "weighted", "of": (A,), "threshold": 0.0}, "above 0"),
        ({"rule": "weighted", "of": (A,), "threshold": 1.5}, "at most at 1"),
    ],
)
def test_a_composite_that_cannot_be_meant_is_refused(kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Composite(**kwargs)


def test_the_identity_covers_the_rule_and_each_parts_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def identity(rule: Any) -> bytes:
        return msgspec.json.encode(identity_of(ready(Composite(rule=rule, of=(A, B)))))

    before = identity("all")
    assert identity("any") != before
    monkeypatch.setattr(Regex, "version", 2)
    assert identity("all") != before
