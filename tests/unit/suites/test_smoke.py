"""The smoke suite's promises: its subsets, its floors, and graders that accept right answers and refuse wrong ones."""

import json
from collections import Counter
from operator import itemgetter
from pathlib import Path

import pytest

from canary.grading.exact import Exact
from canary.grading.numeric import Numeric
from canary.grading.regex import Regex
from canary.grading.text import Text
from canary.suite import Case, Suite, load_suite
from canary.suite.lint import lint
from gateway.contracts.digests import digest_of
from gateway.contracts.evaluations import Grade, Metric
from gateway.contracts.suites import GIB

SUITES = Path(__file__).parents[3] / "suites"

RIGHT_FOR_REGEX = {
    "facts-01": "The capital of Italy is Rome.",
    "facts-02": "William Shakespeare",
    "facts-03": "The Pacific Ocean.",
    "facts-04": "There are seven days.",
    "facts-05": "mercury",
    "facts-06": "Tokyo",
    "facts-07": "The symbol is Au.",
    "facts-08": "Cairo, Egypt",
    "facts-09": "Honey.",
    "facts-10": "A spider has 8 legs.",
    "facts-11": "Germany",
    "facts-12": "Ice.",
    "facts-13": "Madrid",
    "facts-14": "Moscow.",
    "facts-15": "There are twelve months in a year.",
    "facts-16": "24 hours",
    "facts-17": "Oxygen.",
    "facts-18": "A sheep.",
    "facts-19": "Jupiter",
    "facts-20": "Leonardo da Vinci painted it.",
    "facts-21": "France.",
    "facts-22": "It is H2O.",
    "facts-23": "The Sun.",
    "facts-24": "Africa",
    "facts-25": "A kitten.",
    "extraction-01": "On Friday.",
    "extraction-03": "The bus is red.",
    "extraction-04": "Clara has the book.",
    "extraction-06": "Lena made the soup.",
    "extraction-08": "David",
    "extraction-10": "Eva plays the drums.",
    "extraction-11": "It snowed on Tuesday.",
    "extraction-13": "On Sunday.",
    "extraction-15": "The coat is black.",
    "extraction-16": "Mark",
    "extraction-18": "Oscar baked the cake.",
    "extraction-20": "Emma.",
    "extraction-22": "Coffee.",
    "extraction-23": "In Vienna.",
    "extraction-25": "In the drawer.",
}
DEMO_DIGEST = "12daf66070bee432ab9bb491da34cc71e173f6f9d2692fd09992ab68bf3adf9f"
"""Of the 40 lines as JSON: what a demo said in an earlier release can be compared with what it says now."""
WRONG = ("", "I do not know.", "This is a scripted answer.", "seventeen horses", "There are 99 of them.")


def smoke(tag: str | None = None) -> Suite:
    return load_suite("smoke", search_path=(SUITES,), tag=tag)


def right_answer(case: Case) -> str:
    match case.grader:
        case Regex():
            return RIGHT_FOR_REGEX[case.id]
        case Numeric(value=value):
            return f"The answer is {value:g}."
        case Exact(answers=answers) | Text(answers=answers):
            return answers[0]
        case other:
            raise AssertionError(f"{case.id} has a grader that the suite's notes do not name: {other}")


def value_of(case: Case, answer: str) -> float:
    grade = case.grader.grade(answer)
    assert isinstance(grade, Grade), f"{case.id}: {grade.reason}"
    return grade.value


@pytest.mark.parametrize(("tag", "count"), [(None, 200), ("demo", 40), ("quick", 12)])
def test_the_suite_and_its_subsets_have_the_promised_number_of_cases(tag: str | None, count: int) -> None:
    assert len(smoke(tag).cases) == count


def test_the_demos_cases_are_the_40_that_its_first_release_had() -> None:
    lines = (SUITES / "smoke" / "cases.jsonl").read_text().splitlines()
    cases = [case for case in map(json.loads, lines) if "demo" in case.get("tags", [])]
    assert digest_of(sorted(cases, key=itemgetter("id"))) == DEMO_DIGEST


def test_the_suite_lints_clean() -> None:
    assert lint(SUITES / "smoke") == ()


def test_every_quick_case_is_a_demo_case() -> None:
    assert {case.id for case in smoke("quick").cases} <= {case.id for case in smoke("demo").cases}


@pytest.mark.parametrize("tag", [None, "demo", "quick"])
def test_every_subset_covers_every_category(tag: str | None) -> None:
    suite = smoke(tag)

    assert {case.category for case in suite.cases} == set(suite.manifest.categories)


def test_the_demo_takes_equally_many_cases_of_each_category() -> None:
    assert set(Counter(case.category for case in smoke("demo").cases).values()) == {5}


def test_no_question_is_asked_twice() -> None:
    questions = Counter(case.prompt for case in smoke().cases)

    assert [question for question, count in questions.items() if count > 1] == []


def test_no_question_is_given_away_by_a_worked_turn() -> None:
    given_away = [
        case.id
        for case in smoke().cases
        if case.prompt in {message.text for message in case.messages[:-1] if message.role == "user"}
    ]

    assert given_away == []


def test_worked_turns_alternate_and_the_system_prompt_comes_first() -> None:
    for case in smoke().cases:
        roles = [message.role for message in case.messages]
        assert roles == ["system", *["user", "assistant"] * ((len(roles) - 2) // 2), "user"], case.id


def test_every_grader_accepts_a_right_answer() -> None:
    refused = [case.id for case in smoke().cases if value_of(case, right_answer(case)) != 1]

    assert refused == []


@pytest.mark.parametrize("answer", WRONG)
def test_no_grader_accepts_a_wrong_answer(answer: str) -> None:
    accepted = [case.id for case in smoke().cases if value_of(case, answer) != 0]

    assert accepted == []


def test_swapped_days_are_no_right_answer() -> None:
    case = next(case for case in smoke().cases if case.id == "extraction-11")

    assert value_of(case, "It snowed on Monday and it rained on Tuesday.") == 0


def test_answers_are_short() -> None:
    assert {case.max_completion_tokens for case in smoke().cases} == {24}


def test_the_floors_are_the_policy_that_the_notes_state() -> None:
    bounds = {criterion.name: criterion.bound for criterion in smoke().manifest.effective_criteria()}

    assert bounds == {
        "accuracy": 0.50,
        "generation_time": 3.0,
        "memory": 20 * GIB,
        "accuracy_vs_incumbent": 0.05,
    }
    assert Metric.FIELD_ACCESS not in smoke().manifest.measures
