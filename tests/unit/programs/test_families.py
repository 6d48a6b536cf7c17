"""Generated cases: many different tasks, each sound, the same for the same seed."""

from collections import Counter
from string import Template

import pytest

from canary.grading.plain_answer import PlainAnswer
from canary.grading.program import Program
from canary.programs.families import generate as generation
from canary.programs.families.family import Family, PlainFamily, slots_in
from canary.programs.families.generate import FAMILIES, FamilyExhausted, generate
from canary.suite.case import CaseLine
from gateway.contracts.evaluations import Grade, Metric
from gateway.contracts.heldout import heldout_seed

SAMPLE = ("know_unit", "decline_delete", "mail_not_sms", "above", "label", "count_over_pages", "manager_of_owner")
CHOSEN = tuple(family for family in FAMILIES if family.key in SAMPLE)


@pytest.fixture(scope="module")
def cases() -> tuple[CaseLine, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "FAMILIES", CHOSEN)
        return generate(5, 3)


def test_there_are_families_enough_in_every_category() -> None:
    counts = Counter(family.category for family in FAMILIES)

    assert counts == {"A": 20, "B": 20, "C": 25, "D": 20, "E": 20}
    assert len({family.key for family in FAMILIES}) == len(FAMILIES)


def test_no_two_families_are_one_task_in_other_words() -> None:
    oracles = Counter(family.oracle for family in FAMILIES if isinstance(family, Family))
    prompts = Counter(prompt for family in FAMILIES for prompt in family.prompts)

    assert max(oracles.values()) == 1
    assert max(prompts.values()) == 1


def test_every_family_has_paraphrases_and_each_says_all_that_the_oracle_knows() -> None:
    names = {"T", "T2", "BUDGET", "K", "D", "S1", "S2", "S3", "C1", "id", "id2", "scope_value", "scope_value2"}
    words = {"w1", "w2", "w3", "w4", "t1", "t2"}
    for family in FAMILIES:
        assert len(family.prompts) >= 2
        if isinstance(family, Family):
            needed = slots_in(family.oracle) & (names | words)
            needed |= frozenset({"nth"} if "index" in slots_in(family.oracle) else ())
            for prompt in family.prompts:
                assert needed <= slots_in(prompt), family.key


def test_every_row_of_a_question_fills_its_pattern() -> None:
    for family in FAMILIES:
        if isinstance(family, PlainFamily):
            for row in family.rows:
                PlainAnswer(tools=("x",), pattern=Template(family.pattern).safe_substitute(row))


def test_a_seed_gives_the_same_cases_and_another_one_others(
    cases: tuple[CaseLine, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "FAMILIES", CHOSEN)

    assert generate(5, 3) == cases
    assert not {case.prompt for case in generate(6, 1)} >= {case.prompt for case in cases[::3]}


def test_prompts_and_identifiers_are_unique(cases: tuple[CaseLine, ...]) -> None:
    assert len({case.prompt for case in cases}) == len({case.id for case in cases}) == len(cases) == 21


def test_a_generated_case_names_its_family_and_origin(cases: tuple[CaseLine, ...]) -> None:
    assert Counter(case.family for case in cases) == dict.fromkeys(SAMPLE, 3)
    assert {case.origin for case in cases} == {"generated"}


def test_the_oracle_is_graded_right_and_its_fields_matter(cases: tuple[CaseLine, ...]) -> None:
    for case in cases:
        if isinstance(case.grader, Program):
            grade = case.grader.ready({}).grade(f"```python\n{case.grader.oracle}```")
            assert isinstance(grade, Grade), case.id
            assert (grade.value, grade.measures) == (1.0, {Metric.FIELD_ACCESS: 1.0}), case.id


def test_a_case_needs_no_catalogue_and_offers_more_tools_than_the_oracle_calls(cases: tuple[CaseLine, ...]) -> None:
    for case in cases:
        assert isinstance(case.grader, Program | PlainAnswer)
        case.grader.ready({})
        if isinstance(case.grader, Program):
            oracle = case.grader.oracle
            assert any(f"{tool}(" not in oracle for tool in case.grader.tools)


def test_a_family_without_a_further_prompt_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    only = PlainFamily(key="only", prompts=("What is this?",), pattern="x")
    monkeypatch.setattr(generation, "FAMILIES", (only,))

    with pytest.raises(FamilyExhausted, match="family only, case 2"):
        generate(1, 2)


def test_an_unsound_family_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    unsound = Family(
        key="unsound",
        category="C",
        prompts=("Return $id.",),
        oracle="result = $get($key='$id')['$num']\n",
        fields=("$get.$num2",),
    )
    monkeypatch.setattr(generation, "FAMILIES", (unsound,))

    with pytest.raises(FamilyExhausted, match="never matters"):
        generate(1, 1)


def test_the_held_out_seed_follows_from_suite_incumbent_and_campaign() -> None:
    seeds = {heldout_seed("a", "b", 1), heldout_seed("a", "b", 2), heldout_seed("a", "c", 1), heldout_seed("b", "b", 1)}

    assert len(seeds) == 4
    assert heldout_seed("a", "b", 1) == heldout_seed("a", "b", 1) < 2**64
