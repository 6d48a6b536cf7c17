"""Wrong programs are refused and right ones accepted, on a few families; on all of them: `canary suite mutate`."""

import ast
import functools

import pytest

from canary.programs import mutation
from canary.programs.adequacy import telling_world
from canary.programs.behaviour import Behaviour
from canary.programs.families.family import Family
from canary.programs.families.generate import FAMILIES, sound_workshop
from canary.programs.mutants.catalogue import mutants_of
from canary.programs.mutation import END_MARK, START_MARK, Tally, measure, table, written_into
from canary.programs.reference import Task, run_oracle
from canary.programs.rewrites.catalogue import rewrites_of

CHOSEN = ("three_bands", "highest", "count_over_pages", "escalate", "composed_text", "task_note_state")


@functools.cache
def task_of(key: str) -> Task:
    family = next(family for family in FAMILIES if family.key == key)
    assert isinstance(family, Family)
    return sound_workshop(family, 1, 1).program.ready({}).task


def mutants(task: Task) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for mutant in mutants_of(task, run_oracle(task)[0]):
        found.setdefault(mutant.operator, []).append(mutant.source)
    return found


def test_every_kind_of_mistake_occurs() -> None:
    kinds = set[str]().union(*(mutants(task_of(key)) for key in CHOSEN))

    assert kinds >= {
        "hard_coded_value",
        "wrong_field",
        "swapped_comparison",
        "inverted_branch",
        "dropped_hop",
        "first_page_only",
        "whole_object",
        "off_by_one",
        "attribute_style",
        "extra_effect",
        "missing_effect",
        "reordered_effects",
    }


def test_mutants_are_programs_and_none_is_the_oracle_or_another() -> None:
    for key in CHOSEN:
        task = task_of(key)
        sources = [source for each in mutants(task).values() for source in each]
        assert len(sources) == len(set(sources))
        assert ast.unparse(ast.parse(task.oracle)) not in sources
        for source in sources:
            ast.parse(source)


def test_rewrites_are_programs_and_differ_from_the_oracle() -> None:
    for key in CHOSEN:
        task = task_of(key)
        for rewrite in rewrites_of(task):
            ast.parse(rewrite.source)
            assert rewrite.source != ast.unparse(ast.parse(task.oracle)), rewrite.kind


def test_wrong_programs_are_refused_and_right_ones_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "FAMILIES", tuple(family for family in FAMILIES if family.key in CHOSEN))

    tally = measure(seed=1, per_family=1)

    assert tally.survivors == []
    assert tally.refusals == []
    assert tally.killed.total() > 100
    assert tally.accepted.total() > 60


def test_a_mutant_that_does_the_same_counts_as_equivalent() -> None:
    task = task_of("highest")
    same = task.oracle.replace("best = None\n", "best = None\nunused = 1\n")
    worlds = task.worlds

    assert telling_world(same, task, worlds, [each for each in run_oracle(task) if isinstance(each, Behaviour)]) is None


def test_the_table_counts_what_is_killed_of_what_is_not_equivalent() -> None:
    tally = Tally()
    tally.killed.update({"off_by_one": 99})
    tally.survived.update({"off_by_one": 1})
    tally.equivalent.update({"off_by_one": 5})
    tally.accepted.update({"renamed": 2})

    text = table(tally, "canary suite mutate --seed 1")

    assert "| off by one | 99 | 1 | 5 |" in text
    assert "99.00%" in text
    assert "| renamed | 2 | 0 |" in text
    assert tally.killed_ratio == 0.99


def test_the_table_is_written_between_its_marks_and_nowhere_else() -> None:
    assert written_into(f"a\n{START_MARK}\nold\n{END_MARK}\nb", "new") == f"a\n{START_MARK}\n\nnew\n\n{END_MARK}\nb"
    with pytest.raises(ValueError, match="missing"):
        written_into("a", "new")
