"""Each grader on answers that a model gives, and the catalogue's promises."""

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.grading import GRADERS, Expectation, grader_versions
from canary.grading.exact import Exact
from canary.grading.numeric import Numeric
from canary.grading.regex import Regex
from canary.grading.text import Text, normalise
from gateway.contracts.evaluations import Grade, Ungraded

Simple = Exact | Text | Regex | Numeric


def value_of(expectation: Simple, answer: str) -> float:
    grade = expectation.grade(answer)
    assert isinstance(grade, Grade)
    return grade.value


@pytest.mark.parametrize(
    ("answer", "value"),
    [("Paris", 1.0), ("  Paris\n", 1.0), ("Lutetia", 1.0), ("paris", 0.0), ("Paris.", 0.0), ("", 0.0)],
)
def test_exact_takes_an_answer_to_the_letter(answer: str, value: float) -> None:
    assert value_of(Exact(answers=("Paris", "Lutetia")), answer) == value


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("New York", 1.0),
        ("  new   york. ", 1.0),
        ("*New York*", 1.0),
        ("New\u00a0York!", 1.0),
        ("NewYork", 0.0),
        ("York", 0.0),
        ("", 0.0),
    ],
)
def test_text_ignores_case_space_and_punctuation(answer: str, value: float) -> None:
    assert value_of(Text(answers=("New York",)), answer) == value


@pytest.mark.parametrize(
    ("expected", "answer"),
    [("C", "C++"), ("C", "C#"), ("5", "-5"), ("5", "\u22125"), ("3 5", "3.5"), ("50", "50%"), ("10 30", "10:30")],
)
def test_text_keeps_apart_what_is_another_answer(expected: str, answer: str) -> None:
    assert value_of(Text(answers=(expected,)), answer) == 0.0
    assert value_of(Text(answers=(answer,)), f"*{answer}*.") == 1.0


@pytest.mark.parametrize("answer", ["P\u0430ris", "Par\u200bis", "Paris or Rome", "not Paris"])
def test_text_takes_no_look_alike_and_no_other_words(answer: str) -> None:
    assert value_of(Text(answers=("Paris",)), answer) == 0.0


@pytest.mark.timeout(20)
def test_a_long_answer_takes_linear_time() -> None:
    for answer in ("9" * 200_000 + "^2", "1," * 100_000 + "^", "1.2." * 50_000, "-" * 200_000):
        Numeric(value=1).grade(answer)
        normalise(answer)


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("answer", "value"), [("It is Paris.", 1.0), ("PARIS", 1.0), ("Parisian", 0.0), ("Berlin", 0.0), ("", 0.0)]
)
def test_regex_searches_the_answer(answer: str, value: float) -> None:
    assert value_of(Regex(pattern=r"(?i)\bparis\b"), answer) == value


def test_regex_takes_linear_time_where_backtracking_would_not_end() -> None:
    started = time.perf_counter()
    assert value_of(Regex(pattern="(a+)+$"), "a" * 5000 + "b") == 0.0
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("pattern", ["(a", "(?=a)", r"(a)\1", "a**", ""])
def test_regex_refuses_a_pattern_that_re2_cannot_run(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        Regex(pattern=pattern)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("42", 1.0),
        ("The answer is 42.", 1.0),
        ("6 x 7 = 42", 1.0),
        ("42, as 6 x 7", 0.0),
        ("42.0", 1.0),
        ("+42", 1.0),
        ("-42", 0.0),
        ("4.2e1", 1.0),
        ("$42!", 1.0),
        ("_42_ or **42**", 1.0),
        ("42kg", 1.0),
        ("x42", 0.0),
        ("forty-two", 0.0),
        ("1.42", 0.0),
        ("42.1.7", 0.0),
        ("12:42", 0.0),
        ("2^42", 0.0),
        ("2**42", 0.0),
        ("42²", 0.0),
        ("42/7", 0.0),
        ("84/2", 1.0),
        ("42/0", 0.0),
        ("1/42/2026", 0.0),
        ("٤٢", 0.0),
        ("4\u200b2", 0.0),
        ("NaN", 0.0),
        ("inf", 0.0),
        ("Answer:42", 1.0),
        ("42 (see section 1.2.3)", 1.0),
        ("1e999", 0.0),
        ("", 0.0),
        ("9" * 400, 0.0),
    ],
)
def test_numeric_takes_the_last_number(answer: str, value: float) -> None:
    assert value_of(Numeric(value=42), answer) == value


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        (1234.5, "1,234.50"),
        (1234567, "1,234,567"),
        (-1234, "-1,234"),
        (-3, "it is \u22123"),
        (5, "3-5"),
        (0.5, "about .5"),
        (7, "2, 5, 7"),
    ],
)
def test_numeric_reads_signs_separators_and_fractions(expected: float, answer: str) -> None:
    assert value_of(Numeric(value=expected), answer) == 1.0


@pytest.mark.parametrize("answer", ["1,5", "2,5,7", "1234,567", "0,123,4567"])
def test_numeric_declines_a_comma_that_groups_no_thousands(answer: str) -> None:
    assert isinstance(Numeric(value=7).grade(answer), Ungraded)


@pytest.mark.parametrize(("place", "value"), [(0, 1.0), (1, 2.0), (-1, 3.0), (-3, 1.0)])
def test_numeric_reads_the_stated_place(place: int, value: float) -> None:
    assert value_of(Numeric(value=value, place=place), "1 then 2 then 3") == 1.0


def test_numeric_scores_zero_where_the_place_has_no_number() -> None:
    assert value_of(Numeric(value=1, place=3), "1 and 2") == 0.0


@pytest.mark.parametrize(("answer", "value"), [("99.5", 1.0), ("100.5", 1.0), ("100.6", 0.0), ("99.4", 0.0)])
def test_numeric_takes_what_lies_within_the_larger_tolerance(answer: str, value: float) -> None:
    assert value_of(Numeric(value=100, absolute_tolerance=0.1, relative_tolerance=0.005), answer) == value


@pytest.mark.parametrize(
    "line",
    [
        '{"kind":"exact","answers":[]}',
        '{"kind":"exact","answers":[" "]}',
        '{"kind":"text","answers":["..."]}',
        '{"kind":"regex","pattern":"("}',
        '{"kind":"numeric","value":1,"absolute_tolerance":-1}',
        '{"kind":"numeric","value":1,"tolerance":1}',
        '{"kind":"numeric"}',
        '{"kind":"guess"}',
        "{}",
    ],
)
def test_an_expectation_that_cannot_be_meant_is_refused_when_read(line: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(line, type=Expectation)


@pytest.mark.parametrize(
    ("expectation", "words"),
    [
        (Exact(answers=("a", "b")), "exactly 'a' or 'b'"),
        (Text(answers=("a",)), "'a', but for case, white space and punctuation"),
        (Regex(pattern="a|b"), "a match of /a|b/"),
        (Numeric(value=1.5), "the number 1.5 (last in the answer)"),
        (Numeric(value=100, relative_tolerance=0.01, place=0), "the number 100 within 1 (first in the answer)"),
    ],
)
def test_an_expectation_can_be_read(expectation: Simple, words: str) -> None:
    assert expectation.describe() == words


def test_every_grader_is_in_the_catalogue_once() -> None:
    assert len({grader.kind for grader in GRADERS}) == len(GRADERS)
    assert grader_versions() == {grader.kind: grader.version for grader in GRADERS}


@given(st.sampled_from([Exact(answers=("a",)), Text(answers=("a",)), Regex(pattern="a"), Numeric(value=1)]), st.text())
def test_no_answer_breaks_a_grader(expectation: Simple, answer: str) -> None:
    grade = expectation.grade(answer)
    assert isinstance(grade, Ungraded) or grade.value in {0.0, 1.0}
