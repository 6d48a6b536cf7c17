"""Criteria that no candidate or every candidate meets; one rule a test."""

import msgspec
import pytest

from canary.judge import judge
from canary.judge.satisfiable import complaint_about, size_complaint_about, timing_complaint_about
from gateway.contracts.evaluations import Criterion, Metric, Outcome, Profile, Rule, Statistic
from gateway.contracts.suites import MEMORY_CRITERIA, SEED_CRITERIA, LatencyProtocol
from tests.support.evaluations import make_evaluation


def criterion(metric: Metric, rule: Rule, bound: float, statistic: Statistic = Statistic.MEAN) -> Criterion:
    return Criterion(name="x", metric=metric, rule=rule, bound=bound, statistic=statistic)


@pytest.mark.parametrize("sound", SEED_CRITERIA)
def test_the_defaults_are_sound(sound: Criterion) -> None:
    assert complaint_about(sound) is None


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (criterion(Metric.ACCURACY, Rule.AT_LEAST, float("nan")), "no number"),
        (criterion(Metric.ACCURACY, Rule.AT_LEAST, 80), "outside the range"),
        (criterion(Metric.ACCURACY, Rule.AT_LEAST, 0), "every candidate has"),
        (criterion(Metric.ACCURACY, Rule.AT_MOST, 1), "every candidate has"),
        (criterion(Metric.GENERATION_TIME_S, Rule.AT_MOST, 0), "above 0"),
        (criterion(Metric.ACCURACY, Rule.NO_WORSE_THAN, -0.1), "cannot be negative"),
        (criterion(Metric.ACCURACY, Rule.NO_WORSE_THAN, 1), "excludes nothing"),
        (criterion(Metric.GENERATION_TIME_S, Rule.AT_MOST, 1, Statistic.RATIO), "of two systems"),
        (criterion(Metric.ACCURACY, Rule.NO_WORSE_THAN, 0.1, Statistic.RATIO), "can be 0"),
        (criterion(Metric.GENERATION_TIME_S, Rule.NO_WORSE_THAN, 0.1, Statistic.P95), "a mean or a ratio"),
        (criterion(Metric.MEMORY_BYTES, Rule.AT_MOST, 1, Statistic.P95), "once of each engine"),
        (criterion(Metric.ACCURACY, Rule.AT_LEAST, 0.5, Statistic.P50), "use the mean"),
    ],
)
def test_what_means_nothing_is_said(made: Criterion, words: str) -> None:
    assert words in (complaint_about(made) or "")


def test_a_size_that_cannot_bound_a_percentile_is_said() -> None:
    ceiling = criterion(Metric.GENERATION_TIME_S, Rule.AT_MOST, 3, Statistic.P95)
    assert "it takes 71" in (size_complaint_about(ceiling, "full", cases=70, families=70) or "")
    assert size_complaint_about(ceiling, "full", cases=71, families=71) is None


def test_profile_quick_counts_the_cases_that_it_plans() -> None:
    ceiling = criterion(Metric.GENERATION_TIME_S, Rule.AT_MOST, 3, Statistic.P99)
    assert "by 200 cases" in (size_complaint_about(ceiling, "quick", cases=2000, families=2000) or "")
    assert size_complaint_about(ceiling, "full", cases=2000, families=2000) is None


def test_profile_seed_asks_for_no_evidence() -> None:
    for each in SEED_CRITERIA:
        assert size_complaint_about(each, "seed", cases=1, families=1) is None


@pytest.mark.parametrize("profile", ["full", "quick"])
@pytest.mark.parametrize(
    "made",
    [
        criterion(Metric.ACCURACY, Rule.AT_LEAST, 0.8),
        criterion(Metric.ACCURACY, Rule.AT_LEAST, 0.95),
        criterion(Metric.ACCURACY, Rule.NO_WORSE_THAN, 0.05),
        criterion(Metric.ACCURACY, Rule.NO_WORSE_THAN, 0.10),
        criterion(Metric.ACCURACY, Rule.NO_WORSE_THAN, 0.20),
    ],
)
def test_a_perfect_candidate_is_inconclusive_where_lint_complains_and_passes_a_little_above(
    made: Criterion, profile: Profile
) -> None:
    def outcome(cases: int) -> Outcome:
        (judgement,) = judge(
            make_evaluation({"i": [1.0] * cases, "c": [1.0] * cases}, criteria=[made], profile=profile, min_pairs=1)
        )
        return judgement.verdict.outcome

    too_few = max(n for n in range(2, 150) if size_complaint_about(made, profile, cases=n, families=n) is not None)
    assert outcome(too_few) is Outcome.INCONCLUSIVE
    # Student's quantile, which the judge takes where the lint takes the normal one, asks for a little more.
    assert outcome(round(1.12 * too_few) + 5) is Outcome.PASSED


@pytest.mark.parametrize("given", MEMORY_CRITERIA)
def test_the_defaults_of_memory_are_sound(given: Criterion) -> None:
    assert complaint_about(given) is None


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (criterion(Metric.SWAP_GROWTH_BYTES, Rule.AT_MOST, -1), "starts at 0"),
        (criterion(Metric.MEMORY_PEAK_BYTES, Rule.AT_MOST, 0), "above 0"),
        (criterion(Metric.MEMORY_PEAK_BYTES, Rule.AT_MOST, 1, Statistic.P95), "once of each engine"),
        (criterion(Metric.LOAD_TIME_COLD_S, Rule.NO_WORSE_THAN, 1), "no incumbent to compare with"),
        (msgspec.structs.replace(criterion(Metric.ACCURACY, Rule.AT_LEAST, 0.5), concurrency=4), "no concurrency"),
        (
            msgspec.structs.replace(criterion(Metric.END_TO_END_S, Rule.AT_MOST, 5), concurrency=0),
            "no number of requests",
        ),
    ],
)
def test_what_means_nothing_of_times_and_memory_is_said(made: Criterion, words: str) -> None:
    assert words in (complaint_about(made) or "")


def timing(made: Criterion, *, cases: int = 100, min_pairs: int = 10, **protocol: int) -> str:
    return timing_complaint_about(made, LatencyProtocol(**protocol), cases=cases, min_pairs=min_pairs) or ""


def test_what_is_timed_must_be_enough_for_the_criterion() -> None:
    mean = criterion(Metric.END_TO_END_S, Rule.AT_MOST, 5)
    p95 = criterion(Metric.END_TO_END_S, Rule.AT_MOST, 5, Statistic.P95)
    assert timing(mean) == ""
    assert "one prompt alone" in timing(mean, cases=1)
    assert "fewer pairs than `min_pairs`" in timing(mean, cycles=4)
    assert "it takes 63" in timing(p95, cycles=31)
    assert timing(p95, cycles=32) == ""
    assert "it takes 63" in timing(p95, cycles=32, cases=62)
    at_four = msgspec.structs.replace(mean, concurrency=4)
    assert "nothing is timed at 4 requests" in timing(at_four)
    assert timing(at_four, concurrency=4) == ""
