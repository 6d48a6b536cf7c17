"""How a run stands while it goes on; it is shown to people, and no verdict reads it."""

from collections.abc import Sequence

import msgspec
import pytest

from canary.judge import Standing, Watch, judge, standings
from canary.judge.order import case_order
from gateway.contracts.evaluations import Criterion, Evaluation, Metric, Profile, Rule
from tests.support.evaluations import INFRASTRUCTURE_ERROR, Result, make_evaluation

FLOOR = Criterion(name="floor", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.8)
MARGIN = Criterion(name="margin", metric=Metric.ACCURACY, rule=Rule.NO_WORSE_THAN, bound=0.05)


def run(
    candidate: Sequence[Result],
    incumbent: Sequence[Result] | None = None,
    *,
    read: int | None = None,
    profile: Profile = "full",
    criteria: tuple[Criterion, ...] = (FLOOR, MARGIN),
    families: list[str] | None = None,
) -> Evaluation:
    """Return a run of which the first `read` cases of the order have been tried, all where it is not given."""
    results = {"incumbent": incumbent or [1.0] * len(candidate), "candidate": candidate}
    whole = make_evaluation(results, profile=profile, criteria=criteria, families=families)
    tried = {case.id for case in case_order(whole.cases, whole.seed)[:read]}
    return msgspec.structs.replace(whole, trials=tuple(trial for trial in whole.trials if trial.case_id in tried))


def of(evaluation: Evaluation) -> Standing:
    (standing,) = standings(evaluation)
    assert standing is not None
    return standing


def test_the_difference_is_that_of_the_pairs_so_far_with_its_interval() -> None:
    evaluation = run([0.0] * 4 + [1.0] * 36)
    standing = of(evaluation)
    comparison = judge(evaluation)[0].comparisons[0]
    assert (standing.pairs, standing.planned, standing.difference) == (40, 40, pytest.approx(-0.1))
    assert (standing.low, standing.high) == (comparison.difference_low, comparison.difference_high)


def test_a_run_without_a_pair_has_none() -> None:
    assert standings(run([1.0] * 8, read=0)) == (None,)
    assert standings(run([INFRASTRUCTURE_ERROR] * 8)) == (None,)


def test_quick_reads_two_hundred_cases_at_most_and_seed_all() -> None:
    assert of(run([1.0] * 240, read=10, profile="quick")).planned == 200
    seed = of(run([1.0] * 240, read=10, profile="seed"))
    assert (seed.planned, seed.expected_stop) == (240, 240)


def test_a_candidate_that_goes_on_equal_is_expected_to_stop_where_the_rule_does() -> None:
    evaluation = run([1.0] * 400)
    expected = of(run([1.0] * 400, read=90)).expected_stop
    stopping = judge(evaluation)[0].stopping
    assert stopping is not None
    assert expected == stopping.cases == 200
    assert Watch().stopped(run([1.0] * 400, read=expected)) == (True,)


def test_few_families_or_a_loss_put_the_stop_off_to_the_end() -> None:
    assert of(run([1.0] * 400, read=90, families=[f"f{n % 40}" for n in range(400)])).expected_stop == 400
    lost: list[Result] = [0.0, 1.0, 1.0, 1.0] * 100
    assert of(run(lost, read=90)).expected_stop == 400


def test_a_look_that_has_passed_is_not_expected_any_more() -> None:
    assert of(run([1.0] * 400, read=250)).expected_stop == 300


def test_criteria_of_other_things_do_not_promise_an_end() -> None:
    memory = Criterion(name="memory", metric=Metric.MEMORY_BYTES, rule=Rule.AT_MOST, bound=1.0)
    assert of(run([1.0] * 400, read=90, criteria=(memory,))).expected_stop == 400
    advisory = msgspec.structs.replace(MARGIN, required=False)
    assert of(run([1.0] * 400, read=90, criteria=(advisory,))).expected_stop == 400
