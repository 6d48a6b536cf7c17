"""What a criterion's `statistic` is judged by, under each profile; one rule a test."""

from collections.abc import Sequence

import pytest

from canary.judge import judge
from gateway.contracts.evaluations import Criterion, CriterionResult, Metric, Outcome, Profile, Rule, Statistic
from gateway.contracts.suites import GIB
from tests.support.evaluations import Result, make_evaluation


def result_of(
    criterion: Criterion,
    *,
    candidate: Sequence[Result] = (1.0,) * 100,
    incumbent: Sequence[Result] = (1.0,) * 100,
    times_s: dict[str, Sequence[float]] | None = None,
    profile: Profile = "full",
    families: Sequence[str] | None = None,
) -> CriterionResult:
    evaluation = make_evaluation(
        {"incumbent": incumbent, "candidate": candidate},
        times_s=times_s,
        criteria=[criterion],
        profile=profile,
        families=families,
    )
    (judgement,) = judge(evaluation)
    (result,) = judgement.results
    return result


def time(rule: Rule, bound: float, statistic: Statistic = Statistic.MEAN) -> Criterion:
    return Criterion(name="x", metric=Metric.GENERATION_TIME_S, rule=rule, bound=bound, statistic=statistic)


def spread(centre_s: float, count: int = 100) -> list[float]:
    """Return times around a centre, from 0.9 to 1.1 of it."""
    return [centre_s * (0.9 + 0.2 * number / (count - 1)) for number in range(count)]


@pytest.mark.parametrize(
    ("bound", "outcome"), [(2.1, Outcome.PASSED), (1.9, Outcome.FAILED), (2.001, Outcome.INCONCLUSIVE)]
)
def test_a_mean_time_is_judged_by_its_bounds(bound: float, outcome: Outcome) -> None:
    result = result_of(time(Rule.AT_MOST, bound), times_s={"candidate": spread(2.0)})
    assert result.outcome is outcome
    assert (result.more_cases is not None) is (outcome is Outcome.INCONCLUSIVE)


def test_a_mean_on_the_wrong_side_that_bounds_leave_open_is_not_helped_by_more_cases() -> None:
    result = result_of(time(Rule.AT_MOST, 1.999), times_s={"candidate": spread(2.0)})
    assert (result.outcome, result.more_cases) == (Outcome.INCONCLUSIVE, None)
    assert "more cases would hardly help" in result.reason


def test_under_profile_seed_the_same_mean_is_judged_as_it_stands() -> None:
    criterion = time(Rule.AT_MOST, 2.001)
    assert result_of(criterion, times_s={"candidate": spread(2.0)}, profile="seed").outcome is Outcome.PASSED


@pytest.mark.parametrize(("margin", "outcome"), [(0.12, Outcome.PASSED), (0.08, Outcome.FAILED)])
def test_a_ratio_compares_each_pair_with_itself(margin: float, outcome: Outcome) -> None:
    # 10 % slower on each of 100 prompts that differ by a factor of ten: no spread but between the prompts.
    prompts = [1.0 + 9.0 * number / 99 for number in range(100)]
    times: dict[str, Sequence[float]] = {"incumbent": prompts, "candidate": [1.1 * each for each in prompts]}
    result = result_of(time(Rule.NO_WORSE_THAN, margin, Statistic.RATIO), times_s=times)
    assert result.outcome is outcome
    assert result.observed == pytest.approx(0.1)


def test_a_ratio_of_sizes_has_no_bounds_and_needs_none() -> None:
    criterion = Criterion(
        name="x", metric=Metric.MEMORY_BYTES, rule=Rule.NO_WORSE_THAN, bound=0.0, statistic=Statistic.RATIO
    )
    result = result_of(criterion)
    assert (result.outcome, result.observed, result.low) == (Outcome.PASSED, 0.0, None)


def test_a_percentile_is_bounded_by_what_was_measured() -> None:
    times: dict[str, Sequence[float]] = {"candidate": [1.0] * 80 + [5.0] * 20}
    assert result_of(time(Rule.AT_MOST, 1.5, Statistic.P50), times_s=times).outcome is Outcome.PASSED
    assert result_of(time(Rule.AT_MOST, 1.5, Statistic.P90), times_s=times).outcome is Outcome.FAILED
    assert result_of(time(Rule.AT_MOST, 6.0, Statistic.P90), times_s=times).outcome is Outcome.PASSED


def test_a_percentile_of_too_few_values_is_inconclusive_and_says_how_many_it_takes() -> None:
    result = result_of(time(Rule.AT_MOST, 6.0, Statistic.P99))
    assert (result.outcome, result.high) == (Outcome.INCONCLUSIVE, None)
    assert result.more_cases is not None
    assert 250 < result.more_cases < 300


def test_a_lower_bound_makes_a_floor_of_profile_seed_ask_for_evidence() -> None:
    def floor(statistic: Statistic, right: int) -> Outcome:
        criterion = Criterion(name="x", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.8, statistic=statistic)
        return result_of(criterion, candidate=[1.0] * right + [0.0] * (100 - right), profile="seed").outcome

    assert (floor(Statistic.MEAN, 82), floor(Statistic.LOWER_BOUND, 82)) == (Outcome.PASSED, Outcome.FAILED)
    assert floor(Statistic.LOWER_BOUND, 90) is Outcome.PASSED


def test_a_size_is_judged_as_measured_under_every_profile() -> None:
    criterion = Criterion(name="x", metric=Metric.MEMORY_BYTES, rule=Rule.AT_MOST, bound=GIB)
    for profile in ("full", "quick", "seed"):
        assert result_of(criterion, profile=profile).outcome is Outcome.PASSED


def test_times_take_families_as_their_units_too() -> None:
    criterion = time(Rule.AT_MOST, 2.05)
    times: dict[str, Sequence[float]] = {"candidate": [1.0 + 2.0 * (number % 2) for number in range(100)]}
    alone = result_of(criterion, times_s=times)
    paired = result_of(criterion, times_s=times, families=[f"f{number % 2}" for number in range(100)])
    assert alone.high is not None
    assert paired.families == 2
    assert paired.high is None or paired.high > 2 * alone.high
