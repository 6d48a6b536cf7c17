"""One rule a test: what a criterion makes of trials, errors and too few of either."""

from collections.abc import Sequence

import msgspec
import pytest

from canary.judge import judge
from gateway.contracts.evaluations import (
    Criterion,
    CriterionResult,
    Evaluation,
    Grade,
    Metric,
    Outcome,
    Role,
    Rule,
)
from gateway.contracts.suites import GIB
from tests.support.evaluations import (
    CANDIDATE_ERROR,
    INFRASTRUCTURE_ERROR,
    UNGRADED,
    Result,
    make_evaluation,
    make_system,
)

FLOOR = Criterion(name="accuracy", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.8)
MARGIN = Criterion(name="margin", metric=Metric.ACCURACY, rule=Rule.NO_WORSE_THAN, bound=0.05)
SPEED = Criterion(name="speed", metric=Metric.GENERATION_TIME_S, rule=Rule.AT_MOST, bound=3.0)
MEMORY = Criterion(name="memory", metric=Metric.MEMORY_BYTES, rule=Rule.AT_MOST, bound=20 * GIB)
FIELDS = Criterion(name="fields", metric=Metric.FIELD_ACCESS, rule=Rule.AT_LEAST, bound=0.8)


def only_result(evaluation: Evaluation) -> CriterionResult:
    (judgement,) = judge(evaluation)
    (result,) = judgement.results
    return result


def run(
    candidate: Sequence[Result], incumbent: Sequence[Result], criterion: Criterion, *, min_pairs: int = 10
) -> Evaluation:
    return make_evaluation({"incumbent": incumbent, "candidate": candidate}, criteria=[criterion], min_pairs=min_pairs)


def test_a_level_on_its_floor_passes() -> None:
    result = only_result(run([1.0] * 20 + [0.0] * 5, [1.0] * 25, FLOOR))
    assert (result.outcome, result.observed, result.n) == (Outcome.PASSED, 0.8, 25)


def test_a_level_one_case_below_its_floor_fails_and_says_why() -> None:
    result = only_result(run([1.0] * 19 + [0.0] * 6, [1.0] * 25, FLOOR))
    assert result.outcome is Outcome.FAILED
    assert result.reason == ("76.0 % (95 % interval 56.6 % to 88.5 %, 25 trials): below the floor of 80.0 %")


def test_a_difference_on_its_margin_passes() -> None:
    result = only_result(run([1.0] * 38 + [0.0] * 2, [1.0] * 40, MARGIN))
    assert (result.outcome, result.observed, result.n) == (Outcome.PASSED, -0.05, 40)


def test_a_difference_beyond_its_margin_fails_and_says_why() -> None:
    result = only_result(run([1.0] * 37 + [0.0] * 3, [1.0] * 40, MARGIN))
    assert result.outcome is Outcome.FAILED
    assert "-7.5 points" in result.reason
    assert "worse than the incumbent by more than the margin of 5.0 points" in result.reason


def test_no_worse_than_on_a_time_looks_the_other_way() -> None:
    slower = make_evaluation(
        {"incumbent": [1.0] * 10, "candidate": [1.0] * 10},
        times_s={"candidate": [1.3] * 10, "incumbent": [1.0] * 10},
        criteria=[Criterion(name="speed", metric=Metric.GENERATION_TIME_S, rule=Rule.NO_WORSE_THAN, bound=0.2)],
    )
    assert only_result(slower).outcome is Outcome.FAILED


def test_too_few_trials_are_inconclusive_however_good() -> None:
    result = only_result(run([1.0] * 9, [1.0] * 9, FLOOR))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "fewer than the 10 that a decision needs" in result.reason


def test_a_figure_of_the_engine_needs_no_pairs() -> None:
    result = only_result(run([1.0], [1.0], MEMORY))
    assert (result.outcome, result.n) == (Outcome.PASSED, 1)


def test_an_error_of_the_candidate_scores_zero() -> None:
    result = only_result(run([CANDIDATE_ERROR] * 3 + [1.0] * 7, [1.0] * 10, FLOOR))
    assert (result.outcome, result.observed, result.n) == (Outcome.FAILED, 0.7, 10)
    assert "errors of the candidate scored 0: 3" in result.reason


def test_an_infrastructure_error_leaves_with_its_pair() -> None:
    candidate: Sequence[Result] = [INFRASTRUCTURE_ERROR, *[1.0] * 99]
    result = only_result(run(candidate, [0.0, *[1.0] * 99], MARGIN))
    assert (result.outcome, result.n, result.observed) == (Outcome.PASSED, 99, 0.0)


def test_infrastructure_errors_above_two_percent_are_errored_and_named() -> None:
    result = only_result(run([INFRASTRUCTURE_ERROR] * 3 + [1.0] * 97, [1.0] * 100, FLOOR))
    assert result.outcome is Outcome.ERRORED
    assert result.reason.startswith("3 of 100 trials of the candidate have no result (queue_full), above 2 %")


def test_two_percent_of_infrastructure_errors_are_borne() -> None:
    assert only_result(run([INFRASTRUCTURE_ERROR] * 2 + [1.0] * 98, [1.0] * 100, FLOOR)).outcome is Outcome.PASSED


def test_errors_of_the_incumbents_infrastructure_spoil_comparisons_and_no_level() -> None:
    incumbent: Sequence[Result] = [INFRASTRUCTURE_ERROR] * 3 + [1.0] * 97
    assert only_result(run([1.0] * 100, incumbent, MARGIN)).outcome is Outcome.ERRORED
    assert only_result(run([1.0] * 100, incumbent, FLOOR)).outcome is Outcome.PASSED


def test_a_trial_missing_from_the_record_counts_as_lost() -> None:
    evaluation = run([1.0] * 20, [1.0] * 20, FLOOR)
    without_the_candidates_last = evaluation.trials[:-1]
    result = only_result(msgspec.structs.replace(evaluation, trials=without_the_candidates_last))
    assert result.outcome is Outcome.ERRORED
    assert "not in the record" in result.reason


def test_an_ungraded_trial_is_left_out_and_counted() -> None:
    result = only_result(run([UNGRADED] * 5 + [1.0] * 10, [1.0] * 15, FLOOR))
    assert (result.outcome, result.n, result.observed) == (Outcome.PASSED, 10, 1.0)
    assert "left out as ungraded: 5" in result.reason


def test_field_access_is_measured_where_a_grade_measures_it() -> None:
    half = Grade(value=1.0, reason="half of the fields", measures={Metric.FIELD_ACCESS: 0.5})
    result = only_result(run([half] * 10 + [1.0] * 10, [1.0] * 20, FIELDS))
    assert (result.outcome, result.n, result.observed) == (Outcome.FAILED, 10, 0.5)


def test_a_crash_on_a_case_with_fields_scores_zero_fields() -> None:
    full = Grade(value=1.0, reason="all fields", measures={Metric.FIELD_ACCESS: 1.0})
    result = only_result(run([CANDIDATE_ERROR] * 10 + [full] * 10, [full] * 20, FIELDS))
    assert (result.n, result.observed) == (20, 0.5)


def test_field_access_that_nothing_measures_is_inconclusive() -> None:
    result = only_result(run([1.0] * 20, [1.0] * 20, FIELDS))
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, "nothing was measured")


def test_a_criterion_on_a_category_sees_that_category_alone() -> None:
    of_b = Criterion(name="b", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.8, category="b")
    evaluation = make_evaluation(
        {"incumbent": [1.0] * 20, "candidate": [1.0] * 10 + [0.0] * 10},
        categories=["a"] * 10 + ["b"] * 10,
        criteria=[of_b],
    )
    result = only_result(evaluation)
    assert (result.outcome, result.n, result.observed) == (Outcome.FAILED, 10, 0.0)


@pytest.mark.parametrize("dequantised", [True, False])
def test_times_of_a_dequantised_candidate_are_advisory(*, dequantised: bool) -> None:
    evaluation = make_evaluation(
        {"incumbent": [1.0] * 10, "candidate": [1.0] * 10},
        systems=[make_system("incumbent", Role.INCUMBENT), make_system("candidate", dequantised=dequantised)],
        times_s={"candidate": [9.0] * 10},
        criteria=[SPEED, FLOOR],
    )
    (judgement,) = judge(evaluation)
    speed = judgement.results[0]
    assert (speed.outcome, speed.observed) == (Outcome.FAILED, 9.0)
    assert speed.required is not dequantised
    assert ("not comparable: dequantised" in speed.reason) is dequantised
    assert judgement.verdict.outcome is (Outcome.PASSED if dequantised else Outcome.FAILED)


@pytest.mark.parametrize(("dequantised", "outcome"), [(True, Outcome.PASSED), (False, Outcome.FAILED)])
def test_memory_of_a_dequantised_candidate_is_the_predicted_one(*, dequantised: bool, outcome: Outcome) -> None:
    evaluation = make_evaluation(
        {"incumbent": [1.0] * 10, "candidate": [1.0] * 10},
        systems=[
            make_system("incumbent", Role.INCUMBENT),
            make_system("candidate", active_bytes=40 * GIB, predicted_bytes=10 * GIB, dequantised=dequantised),
        ],
        criteria=[MEMORY],
    )
    result = only_result(evaluation)
    assert result.outcome is outcome
    assert ("predicted" in result.reason) is dequantised


def test_memory_one_byte_above_the_ceiling_fails_and_shows_the_byte() -> None:
    evaluation = make_evaluation(
        {"incumbent": [1.0], "candidate": [1.0]},
        systems=[make_system("incumbent", Role.INCUMBENT), make_system("candidate", active_bytes=20 * GIB + 1)],
        criteria=[MEMORY],
    )
    result = only_result(evaluation)
    assert result.outcome is Outcome.FAILED
    assert "21,474,836,481 bytes" in result.reason
