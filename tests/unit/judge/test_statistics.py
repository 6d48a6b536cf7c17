import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.judge.statistics import mean, t_interval, tango_interval, wilson_interval


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(23, 25, 0.750, 0.978), (22, 25, 0.700, 0.958), (18, 20, 0.699, 0.972), (4, 5, 0.376, 0.964), (5, 5, 0.566, 1.0)],
)
def test_wilson_interval_of_the_seeds_counts(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-4)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_proportion_and_stays_in_range(counts: tuple[int, int]) -> None:
    successes, n = counts
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert (low == 0) is (successes == 0)
    assert (high == 1) is (successes == n)


@pytest.mark.parametrize(
    ("gained", "lost", "n", "low", "high"),
    [
        (1, 0, 25, -0.099, 0.195),
        (2, 1, 25, -0.133, 0.220),
        (3, 2, 25, -0.161, 0.242),
    ],
)
def test_tango_interval_of_23_against_22_of_25(gained: int, lost: int, n: int, low: float, high: float) -> None:
    assert tango_interval(gained, lost, n) == pytest.approx((low, high), abs=5e-4)


def test_tango_interval_of_pairs_that_all_agree_is_the_closed_form() -> None:
    # Without a discordant pair the score equation reads n d / (1 - d) = z^2.
    z_squared = 1.959963984540054**2
    expected = z_squared / (40 + z_squared)
    assert tango_interval(0, 0, 40) == pytest.approx((-expected, expected), abs=1e-9)


@st.composite
def discordance(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 500))
    gained = draw(st.integers(0, n))
    return gained, draw(st.integers(0, n - gained)), n


@given(discordance())
def test_tango_interval_holds_the_difference_and_stays_in_range(counts: tuple[int, int, int]) -> None:
    gained, lost, n = counts
    low, high = tango_interval(gained, lost, n)
    assert -1 <= low <= (gained - lost) / n <= high <= 1


@given(discordance())
def test_tango_interval_is_mirrored_when_the_systems_change_places(counts: tuple[int, int, int]) -> None:
    gained, lost, n = counts
    low, high = tango_interval(gained, lost, n)
    assert tango_interval(lost, gained, n) == pytest.approx((-high, -low), abs=1e-9)


def test_t_interval_of_five_values() -> None:
    # t(0.975, 4) = 2.7764; s = sqrt(2.5); half width = 2.7764 * 1.5811 / sqrt(5) = 1.9633
    assert t_interval([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx((3 - 1.9633, 3 + 1.9633), abs=1e-4)


def test_t_interval_of_equal_values_has_no_width() -> None:
    assert t_interval([2.5, 2.5, 2.5]) == (2.5, 2.5)


def test_t_interval_needs_two_values() -> None:
    assert t_interval([1.0]) is None


def test_t_interval_is_cut_to_the_range_of_a_grade() -> None:
    assert t_interval([0.0, 1.0, 0.9], floor=0.0, ceiling=1.0) == (0.0, 1.0)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_t_interval_is_finite_and_holds_the_mean(values: list[float]) -> None:
    interval = t_interval(values)
    assert interval is not None
    assert all(math.isfinite(end) for end in interval)
    assert interval.low <= mean(values) <= interval.high
