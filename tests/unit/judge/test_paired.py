"""Means of cases that come in families, against closed forms and other programs' functions."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, multivariate_normal, sem  # pyright: ignore[reportMissingTypeStubs] - scipy ships none

from canary.judge.paired import effective_count, family_mean, grouped, least_families, tango_score, wilson_low
from canary.judge.profiles import PLANS, SPENT_ALPHA
from canary.judge.statistics import fitted_line, least_count, quantile_ranks, student_quantile, wilson_interval


def test_a_mean_of_lone_cases_has_the_usual_standard_error() -> None:
    values = np.array([0.0, 1.0, 1.0, 0.5, 0.0])
    value, error = family_mean(values, grouped(list("abcde")))
    assert (float(value), float(error)) == pytest.approx((0.5, float(sem(values))))


def test_a_mean_of_families_of_one_size_has_the_error_of_the_families_means() -> None:
    values = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    _, error = family_mean(values, grouped(list("aabbcc")))
    assert float(error) == pytest.approx(float(sem([0.5, 1.0, 0.0])))


def test_doubling_every_case_within_its_family_adds_no_certainty() -> None:
    values = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    _, alone = family_mean(values, grouped(list("abcde")))
    _, doubled = family_mean(np.repeat(values, 2), grouped([each for each in "abcde" for _ in range(2)]))
    assert float(doubled) == pytest.approx(float(alone))


def test_many_runs_at_once_give_what_each_gives_alone() -> None:
    values = np.random.default_rng(5).random((3, 12))
    grouping = grouped([str(position % 4) for position in range(12)])
    together = family_mean(values, grouping)
    for row in range(3):
        assert together.error[row] == pytest.approx(float(family_mean(values[row], grouping).error))


def test_lone_cases_count_one_each_and_families_that_agree_count_as_families() -> None:
    lone = np.array([0.0, 1.0, 1.0, 0.0])
    _, error = family_mean(lone, grouped(list("abcd")))
    assert float(effective_count(lone.var(ddof=1), error, n=4, families=4)) == pytest.approx(4)
    doubled = np.repeat(lone, 10)
    _, error = family_mean(doubled, grouped([each for each in "abcd" for _ in range(10)]))
    assert float(effective_count(doubled.var(ddof=1), error, n=40, families=4)) == pytest.approx(
        4 * 39 / 40 * 4 / 4, rel=0.3
    )


def test_where_no_case_differs_the_families_count() -> None:
    assert float(effective_count(0.0, 0.0, n=400, families=100)) == 100


def test_tango_score_is_that_of_the_facts() -> None:
    # Without a discordant pair the score at -d is sqrt(n d / (1 - d)): 100 pairs, 5 points.
    assert float(tango_score(0, 0, 100, -0.05)) == pytest.approx(math.sqrt(100 * 0.05 / 0.95))


def test_tango_score_grows_with_the_root_of_the_number_of_pairs() -> None:
    assert float(tango_score(12, 16, 400, -0.05)) == pytest.approx(2 * float(tango_score(3, 4, 100, -0.05)))


@pytest.mark.parametrize(("right", "n"), [(24, 25), (45, 50), (87, 100), (334, 400), (100, 100)])
def test_wilson_low_is_the_end_of_wilsons_interval(right: int, n: int) -> None:
    low = float(wilson_low(right / n, n, 1.959963984540054))
    assert low == pytest.approx(wilson_interval(right, n).low)


@pytest.mark.parametrize(
    ("right", "n"), [(24, 25), (45, 50), (87, 100), (129, 150), (170, 200), (252, 300), (334, 400)]
)
def test_a_floor_of_80_percent_is_first_shown_by_these_counts(right: int, n: int) -> None:
    # One-sided 95 %, facts section 2d.
    def low(count: int) -> float:
        return float(wilson_low(count / n, n, 1.6448536269514722))

    assert low(right) >= 0.8 > low(right - 1)


def test_the_boundaries_of_all_looks_are_crossed_by_4_percent() -> None:
    for plan in PLANS.values():
        looks = np.arange(1, len(plan.boundaries) + 1)
        covariance = np.sqrt(np.minimum.outer(looks, looks) / np.maximum.outer(looks, looks))
        together: Any = multivariate_normal
        inside = together(np.zeros(len(looks)), covariance, seed=1).cdf(np.array(plan.boundaries))
        assert 1 - inside == pytest.approx(SPENT_ALPHA, abs=2e-4)
        shape = np.array(plan.boundaries) * (looks / len(looks)) ** 0.25
        assert shape == pytest.approx(plan.boundaries[-1], abs=2e-3)


def test_looks_are_evenly_spaced_and_the_last_is_the_end() -> None:
    assert PLANS["full"].looks(400) == (100, 200, 300, 400)
    assert PLANS["full"].looks(430) == (108, 215, 323, 430)
    assert PLANS["quick"].looks(430) == (50, 100, 150, 200)


def test_least_families_meet_one_that_is_broken() -> None:
    assert least_families(0.05, 0.05) == 59
    assert least_families(0.05, 0.01) == 90
    assert 0.95**90 <= 0.01 < 0.95**89


@pytest.mark.parametrize(("share", "n", "rank"), [(0.95, 58, None), (0.95, 59, 59), (0.9, 29, 29), (0.99, 299, 299)])
def test_percentiles_are_bounded_only_by_enough_values(share: float, n: int, rank: int | None) -> None:
    # The tail of z = 1.6449 is 5 %: facts section 2j.
    assert quantile_ranks(share, n, 1.6448536269514722)[1] == rank


def test_ranks_of_the_95th_percentile_are_those_of_the_facts() -> None:
    assert [quantile_ranks(0.95, n, 1.6448536269514722)[1] for n in (100, 200, 300)] == [99, 196, 292]


@pytest.mark.parametrize("n", [60, 100, 333])
def test_each_bound_of_a_percentile_misses_it_by_less_than_the_tail(n: int) -> None:
    low, high = quantile_ranks(0.9, n, 1.6448536269514722)
    assert low is not None
    assert high is not None
    assert binom.cdf(high - 1, n, 0.9) >= 0.95
    assert binom.sf(low - 1, n, 0.9) >= 0.95


def test_least_count_is_what_bounds_a_percentile() -> None:
    for share, n in ((0.9, 29), (0.95, 59), (0.99, 299)):
        assert least_count(share, 1.6448536269514722) == n


def test_student_quantile_nears_the_normal_one() -> None:
    assert student_quantile(1.96, 10**7) == pytest.approx(1.96, abs=1e-4)
    assert student_quantile(1.959963984540054, 4) == pytest.approx(2.7764, abs=1e-4)


def test_a_fitted_line_finds_the_slope_and_holds_it_between_its_bounds() -> None:
    line = fitted_line([0, 1, 2, 3], [5.0, 7.1, 8.9, 11.0], z=1.645)
    assert line is not None
    assert line.slope == pytest.approx(1.98)
    assert line.low < 1.98 < line.high


def test_two_points_make_a_line_without_bounds_and_one_makes_none() -> None:
    line = fitted_line([0, 1], [5.0, 7.0], z=1.645)
    assert line is not None
    assert (line.slope, line.low, line.high) == (2.0, -math.inf, math.inf)
    assert fitted_line([1, 1], [5.0, 7.0], z=1.645) is None
