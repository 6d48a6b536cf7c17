"""The answer in one sentence, and what a person would point out."""

import msgspec
import pytest

from canary.report.view import view_of
from gateway.contracts.evaluations import Role
from tests.support.evaluations import make_system
from tests.support.full_run import full_run
from tests.support.judged_runs import FLOOR, judged


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ([1.0] * 12, "Promote new: new passed all 4 required criteria."),
        ([0.0] * 12, "Keep old: new failed on accuracy, accuracy_vs_incumbent."),
        ([1.0] * 3, "Keep old: new is inconclusive on accuracy, generation_time, accuracy_vs_incumbent."),
    ],
)
def test_one_candidate_is_promoted_or_the_incumbent_kept(results: list[float], sentence: str) -> None:
    assert view_of(judged({"old": [1.0] * len(results), "new": results})).headline.sentence == sentence


def test_of_several_candidates_each_is_named_with_what_became_of_it() -> None:
    found = view_of(judged({"old": [1.0] * 12, "five": [1.0] * 12, "four": [0.0] * 12}, criteria=(FLOOR,)))

    assert found.question == "May five or four replace old as tutor?"
    assert found.headline.sentence == "Promote five: five passed its required criterion; four failed on accuracy."


def test_a_candidate_that_equals_the_incumbent_replaces_nothing() -> None:
    systems = [make_system("old", Role.INCUMBENT), make_system("old")]
    found = view_of(judged({"old": [1.0] * 12}, systems=systems)).headline

    assert found.decision.startswith("Keep old")
    assert found.because.endswith("passed all 4 required criteria")


def test_advisory_criteria_alone_decide_nothing() -> None:
    advisory = msgspec.structs.replace(FLOOR, required=False)
    found = view_of(judged({"old": [1.0] * 12, "new": [1.0] * 12}, criteria=(advisory,)))

    assert found.headline.because == "new has no required criterion that could decide"


def test_a_comparison_promotes_nothing() -> None:
    evaluation = msgspec.structs.replace(judged({"a": [1.0] * 12, "b": [1.0] * 12}), compared_while="f" * 64)

    assert view_of(evaluation).question == "How does b compare with a?"
    assert view_of(evaluation).headline.decision == "Compared with a"


def test_findings_name_accuracy_the_worst_category_flips_times_and_memory() -> None:
    five, four = view_of(full_run()).findings

    assert four.sentences[1].startswith("It loses most in one category, Field access: ")
    assert "21 of 160 planned cases were enough to decide." in four.sentences
    assert "Of all cases tried it does worse than the incumbent on 1 case, and better on 2 cases." in five.sentences
    assert any(sentence.startswith("With 4 requests at a time an answer takes 0.68") for sentence in five.sentences)
    assert "At 32,768 tokens it reaches 54.7% of the memory limit." in five.sentences
    assert not any("enough to decide" in sentence for sentence in five.sentences)


def test_findings_of_dequantised_weights_speak_of_no_time() -> None:
    (found,) = view_of(judged({"old": [1.0] * 12, "new": [1.0] * 12}, dequantised=True)).findings

    assert "Its times are not the product's: the weights were dequantised at load." in found.sentences
    assert not any("Generation time" in sentence for sentence in found.sentences)


def test_key_figures_are_what_a_person_asks_for_first() -> None:
    five, _ = view_of(full_run()).key_figures

    assert [each.title for each in five] == ["Accuracy, overall", "End to end", "Memory", "Disk"]
    assert (five[2].candidate, five[2].incumbent, five[2].change) == ("13.00 GiB", "20.00 GiB", "-7.000 GiB")


def test_differences_stand_with_the_margin_that_limits_them() -> None:
    five, _ = view_of(full_run()).differences
    assert five is not None

    assert five.rows[0][0] == "Accuracy, overall"
    assert five.rows[0][-1] == "5 points"
    assert not any(row[-1] for row in five.rows[1:])
