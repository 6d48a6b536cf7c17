"""What the decision matrix says, row by row."""

import msgspec
import pytest

from canary.judge import judge
from canary.report.contest import DEQUANTISED
from canary.report.matrix import decision_matrix
from canary.report.quantities import NOT_MEASURED
from canary.report.systems import contestants, systems_table
from canary.report.table import Table
from gateway.contracts.evaluations import Evaluation, Grade, Metric, Role
from tests.support.evaluations import INFRASTRUCTURE_ERROR, make_evaluation, make_system
from tests.support.judged_runs import FLOOR, judged

WRONG_THEN_RIGHT = [0.0, 0.0, *[1.0] * 23]


def matrix(evaluation: Evaluation) -> Table:
    return decision_matrix(evaluation, contestants(evaluation))


def row(evaluation: Evaluation, title: str) -> tuple[str, ...]:
    return next(row[1:] for row in matrix(evaluation).rows if row[0] == title)


def titles(evaluation: Evaluation) -> list[str]:
    return [row[0] for row in matrix(evaluation).rows]


def test_accuracy_is_printed_with_its_count_and_interval() -> None:
    evaluation = judged({"old": [1.0] * 25, "new": WRONG_THEN_RIGHT})

    assert row(evaluation, "Accuracy, overall") == (
        "100% (25/25), 86.7% to 100%",
        "92% (23/25), 75% to 97.8%",
        "old",
    )


def test_each_category_has_a_row_of_its_own_trials() -> None:
    evaluation = judged({"old": [1.0] * 25, "new": WRONG_THEN_RIGHT}, categories=["a"] * 5 + ["b"] * 20)

    assert row(evaluation, "Accuracy: A")[1].startswith("60% (3/5), ")
    assert row(evaluation, "Accuracy: B")[1].startswith("100% (20/20), ")
    assert row(evaluation, "Accuracy: B")[2] == "tie"


def test_partial_grades_print_no_count_of_right_answers() -> None:
    evaluation = judged({"old": [1.0] * 10, "new": [0.25] * 10}, criteria=())

    assert row(evaluation, "Accuracy, overall")[1].startswith("25% (n=10)")


def test_field_access_has_a_row_only_where_it_was_measured() -> None:
    measured = Grade(value=1.0, reason="", measures={Metric.FIELD_ACCESS: 1.0})

    assert "Field access" not in titles(judged({"old": [1.0] * 3, "new": [1.0] * 3}))
    evaluation = judged({"old": [measured] * 3, "new": [measured, measured, 1.0]})
    assert row(evaluation, "Field access")[0].startswith("100% (3/3)")
    assert row(evaluation, "Field access")[1].startswith("100% (2/2)")


def test_a_system_without_a_result_has_not_been_measured() -> None:
    evaluation = judged({"old": [1.0] * 3, "new": [INFRASTRUCTURE_ERROR] * 3})

    assert row(evaluation, "Accuracy, overall")[1] == NOT_MEASURED
    assert row(evaluation, "Generation time, mean")[1] == NOT_MEASURED
    assert row(evaluation, "Accuracy, overall")[2] == "old"


def test_times_carry_an_interval_and_the_fastest_wins() -> None:
    evaluation = judged({"old": [1.0] * 3, "new": [1.0] * 3}, times_s={"old": [1.0, 2.0, 3.0], "new": [1.0] * 3})

    assert row(evaluation, "Generation time, mean") == ("2.00s, 0.00s to 4.48s", "1.00s, 1.00s to 1.00s", "new")


def test_one_time_has_no_interval() -> None:
    assert row(judged({"old": [1.0], "new": [1.0]}), "Generation time, mean")[0] == "1.00s"


def test_a_system_below_the_accuracy_floor_wins_no_row() -> None:
    evaluation = judged(
        {"old": [1.0] * 10, "broken": [0.0] * 10}, times_s={"old": [2.0] * 10, "broken": [1.0] * 10}, criteria=(FLOOR,)
    )

    assert row(evaluation, "Generation time, mean")[2] == "old"
    assert row(evaluation, "Memory, predicted: weights as stored")[2] == "old"


def test_an_advisory_floor_keeps_nobody_from_winning() -> None:
    advisory = msgspec.structs.replace(FLOOR, required=False)
    evaluation = judged({"old": [1.0] * 10, "broken": [0.0] * 10}, criteria=(advisory,))

    assert row(evaluation, "Memory, predicted: weights as stored")[2] == "broken"


@pytest.mark.parametrize("title", ["Generation time, mean", "Time to first token, mean", "Load time"])
def test_speed_of_dequantised_systems_is_not_comparable(title: str) -> None:
    evaluation = judged({"old": [1.0] * 10, "new": [1.0] * 10}, dequantised=True)

    assert row(evaluation, title)[2] == DEQUANTISED


def test_one_dequantised_system_makes_speed_incomparable() -> None:
    systems = [make_system("old", Role.INCUMBENT), make_system("new", dequantised=True)]
    evaluation = judged({"old": [1.0] * 10, "new": [1.0] * 10}, systems=systems)

    assert row(evaluation, "Generation time, mean")[2] == DEQUANTISED


def test_memory_of_dequantised_systems_is_shown_as_predicted_and_as_measured() -> None:
    evaluation = judged({"old": [1.0] * 10, "new": [1.0] * 10}, dequantised=True)

    assert row(evaluation, "Memory, predicted: weights as stored") == ("2.00 GiB", "1.00 GiB", "new")
    assert row(evaluation, "Memory, measured: weights dequantised") == ("4.00 GiB", "4.00 GiB", DEQUANTISED)


def test_measured_memory_is_won_where_nothing_is_dequantised() -> None:
    assert row(judged({"old": [1.0] * 10, "new": [1.0] * 10}), "Memory, measured") == ("4.00 GiB", "4.00 GiB", "tie")


def test_several_candidates_stand_beside_the_incumbent_in_the_order_given() -> None:
    evaluation = judged({"old": [1.0] * 10, "five": [1.0] * 10, "four": [0.0] * 10})

    assert matrix(evaluation).header == (
        "Figure",
        "old (incumbent)",
        "five (candidate)",
        "four (candidate)",
        "Winner",
    )
    assert [cell[:4] for cell in row(evaluation, "Accuracy, overall")[:3]] == ["100%", "100%", "0% ("]


def test_an_incumbent_that_is_its_own_candidate_is_told_apart_by_role() -> None:
    systems = [make_system("same", Role.INCUMBENT), make_system("same", Role.CANDIDATE)]
    evaluation = make_evaluation({"same": [1.0] * 10}, systems=systems, criteria=(FLOOR,))
    evaluation = msgspec.structs.replace(evaluation, judgements=judge(evaluation))

    assert matrix(evaluation).header[1:3] == ("same as incumbent (incumbent)", "same as candidate (candidate)")
    assert row(evaluation, "Accuracy, overall")[2] == "tie"


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["my-tutor-8bit", "my-tutor-5bit"], ["8bit", "5bit"]),
        (["my_tutor_8bit", "my_tutor_8bit_v2"], ["8bit", "8bit_v2"]),
        (["qwen-7b", "qwen-72b"], ["7b", "72b"]),
        (["tutor", "tutor-5bit"], ["tutor", "tutor-5bit"]),
        (["v1.25", "v1.26"], ["v1.25", "v1.26"]),
        (["old", "new"], ["old", "new"]),
    ],
)
def test_a_system_is_called_by_the_words_that_set_it_apart(names: list[str], labels: list[str]) -> None:
    evaluation = judged({name: [1.0] * 10 for name in names})

    assert [each.label for each in contestants(evaluation)] == labels
    assert [row[2].partition("@")[0] for row in systems_table(contestants(evaluation)).rows] == names


def test_two_builds_of_one_name_are_told_apart_by_digest() -> None:
    one, other = make_system("build", Role.INCUMBENT), make_system("build")
    variant = msgspec.structs.replace(
        other.variant, engine=msgspec.structs.replace(other.variant.engine, weights_digest="other")
    )
    other = msgspec.structs.replace(other, variant=variant)
    trials = make_evaluation({"build": [1.0]}, systems=[one]).trials
    evaluation = make_evaluation({"build": [1.0]}, systems=[one, other])
    evaluation = msgspec.structs.replace(
        evaluation,
        trials=(*trials, msgspec.structs.replace(trials[0], sequence=1, variant_digest=variant.digest)),
    )
    evaluation = msgspec.structs.replace(evaluation, judgements=judge(evaluation))

    labels = [each.label for each in contestants(evaluation)]

    assert labels == [one.variant.reference, variant.reference]
    assert [row[0] for row in systems_table(contestants(evaluation)).rows] == labels
