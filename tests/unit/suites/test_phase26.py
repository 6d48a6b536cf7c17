"""The shipped suite `phase26`: its written cases are sound, and wrong programs do not pass them."""

from pathlib import Path

import msgspec
import pytest

from canary.grading.program import ReadyProgram
from canary.programs.adequacy import survivors, telling_world
from canary.programs.mutants.catalogue import mutants_of
from canary.programs.reference import run_oracle
from canary.programs.rewrites.catalogue import rewrites_of
from canary.suite import Case, load_suite
from canary.suite.lint import lint
from gateway.contracts.evaluations import Grade, Metric

PHASE26 = Path(__file__).parents[3] / "suites" / "phase26"


@pytest.fixture(scope="module")
def cases() -> tuple[Case, ...]:
    return load_suite(f"{PHASE26}/", search_path=()).cases


def programs(cases: tuple[Case, ...]) -> list[tuple[str, ReadyProgram]]:
    return [(case.id, case.grader) for case in cases if isinstance(case.grader, ReadyProgram)]


def test_there_are_five_public_cases_a_category(cases: tuple[Case, ...]) -> None:
    assert [case.id for case in cases] == [f"{category}-0{number}" for category in "ABCDE" for number in range(1, 6)]
    assert all(case.tags == ("public",) for case in cases)


def test_nothing_is_wrong_with_it() -> None:
    assert [finding.message for finding in lint(PHASE26) if finding.severity == "error"] == []


def test_the_system_prompt_shows_the_tools_of_the_case(cases: tuple[Case, ...]) -> None:
    for case in cases:
        shown = case.messages[0].text
        assert "{tools}" not in shown
        for case_id, grader in programs(cases):
            if case_id == case.id:
                assert all(f"def {tool}(" in shown for tool in grader.task.tools)


def test_every_oracle_passes_and_every_field_matters(cases: tuple[Case, ...]) -> None:
    for case_id, grader in programs(cases):
        grade = grader.grade(f"```python\n{grader.task.oracle}```")
        assert isinstance(grade, Grade), case_id
        assert (grade.value, grade.measures) == (1.0, {Metric.FIELD_ACCESS: 1.0}), case_id


def test_no_wrong_program_passes_and_every_rewrite_does(cases: tuple[Case, ...]) -> None:
    for case_id, grader in programs(cases):
        expected = run_oracle(grader.task)
        wrong = [mutant.source for mutant in mutants_of(grader.task, expected[0])]
        left = survivors(wrong, grader.task, grader.task.worlds, expected)
        assert left == [], case_id
        for rewrite in rewrites_of(grader.task):
            assert telling_world(rewrite.source, grader.task, grader.task.worlds, expected) is None, (case_id, rewrite)


def test_the_digest_covers_the_tools_and_the_worlds(cases: tuple[Case, ...]) -> None:
    case_id, grader = programs(cases)[0]
    case = next(case for case in cases if case.id == case_id)
    for change in (
        {"worlds": grader.task.worlds[::-1]},
        {"max_calls": 7},
        {"tools": dict(list(grader.task.tools.items())[:2])},
    ):
        changed = msgspec.structs.replace(grader, task=msgspec.structs.replace(grader.task, **change))
        assert msgspec.structs.replace(case, grader=changed).digest != case.digest
