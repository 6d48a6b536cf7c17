"""Two-sided 95 % intervals for the figures that a verdict quotes."""

# scipy is imported by the function that computes with it: it takes two seconds, and most commands compute nothing.
# It ships no types. This file is the only one that imports it, and turns each result into a float at once.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
# ruff: noqa: PLC0415 - said above

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from canary.judge.paired import tango_score

CONFIDENCE = 0.95
Z_95 = 1.959963984540054
"""Normal quantile of a two-sided 95 % interval."""
_XTOL = 1e-12


class Interval(NamedTuple):
    low: float
    high: float


def wilson_interval(successes: int, n: int) -> Interval:
    """Return Wilson's score interval of a proportion, from `n` >= 1 independent trials.

    Wilson, E. B. (1927), J. Am. Stat. Assoc. 22:209-212, without continuity correction.
    """
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    # At the ends the formula misses 0 and 1 by a rounding error.
    low = 0.0 if successes == 0 else float(interval.low)
    return Interval(low, 1.0 if successes == n else float(interval.high))


def tango_interval(gained: float, lost: float, n: float, *, z: float | None = None) -> Interval:
    """Return Tango's score interval of a difference of paired proportions, (gained - lost) / n, within [-1, 1].

    `gained` counts the pairs that only the candidate has right, `lost` those that only the incumbent has, of `n` > 0
    pairs; they need not be whole. Its ends are where `tango_score` equals -z and z, by default those of 95 %.
    """
    z = Z_95 if z is None else z
    observed = (gained - lost) / n

    def root(score: float, low: float, high: float) -> float:
        return root_between(lambda at: float(tango_score(gained, lost, n, at)) - score, low, high)

    # The score falls from +infinity at -1 through 0 at the observed difference to -infinity at 1.
    low = -1.0 if lost == n else root(z, -1 + _XTOL, observed)
    high = 1.0 if gained == n else root(-z, observed, 1 - _XTOL)
    return Interval(low, high)


def t_interval(values: Sequence[float], *, floor: float = -math.inf, ceiling: float = math.inf) -> Interval | None:
    """Return Student's interval of a mean, cut to [floor, ceiling]; None below two values, which have no spread.

    mean +- t(0.975, n - 1) * s / sqrt(n), with s the sample's standard deviation.
    """
    n = len(values)
    if n < 2:  # noqa: PLR2004 - one value has no spread
        return None
    import numpy as np

    centre = mean(values)
    spread = float(np.std(np.asarray(values, dtype=np.float64), ddof=1))
    half_width = student_quantile(Z_95, n - 1) * spread / math.sqrt(n)
    return Interval(max(centre - half_width, floor), min(centre + half_width, ceiling))


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one value, rounded once: the same on every machine and in every order."""
    return math.fsum(values) / len(values)


def root_between(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a continuous function is 0 between two places at which its signs differ."""
    from scipy.optimize import brentq

    found: Any = brentq(function, low, high, xtol=_XTOL)
    return float(found)


@functools.lru_cache(maxsize=4096)
def student_quantile(z: float, freedom: int) -> float:
    """Return what Student's t with `freedom` degrees exceeds as seldom as a normal figure exceeds `z`.

    A run that is watched asks for few of them, many times, and each takes scipy a millisecond.
    """
    from scipy.stats import norm, t

    return float(t.isf(norm.sf(z), freedom))


def quantile_ranks(share: float, n: int, z: float) -> tuple[int | None, int | None]:
    """Return the ranks, from 1, of the ordered values that bound the `share` quantile from below and from above.

    Each misses it with at most the probability that a normal figure exceeds `z`. None where `n` values cannot say: it
    takes 59 to bound the 95th percentile from above at 5 %. The values need no distribution in common with anything.

    Conover, W. J. (1999), Practical Nonparametric Statistics, section 3.2: the number of values below a quantile is
    binomial.
    """
    from scipy.stats import binom, norm

    tail = float(norm.sf(z))
    low, high = int(binom.ppf(tail, n, share)), int(binom.ppf(1 - tail, n, share)) + 1
    return (low if low >= 1 else None), (high if high <= n else None)


def least_count(share: float, z: float) -> int:
    """Return how many values it takes to bound the `share` quantile from above: the greatest of them does."""
    from scipy.stats import norm

    return math.ceil(float(norm.logsf(z)) / math.log(share))


class Line(NamedTuple):
    """A fitted slope with one-sided bounds; infinite where two points leave no error to see."""

    slope: float
    low: float
    high: float


def fitted_line(x: Sequence[float], y: Sequence[float], *, z: float) -> Line | None:
    """Return the slope of y over x by least squares, with Student's bounds; None below two different x."""
    if len(set(x)) < 2:  # noqa: PLR2004 - a slope is between two places
        return None
    if len(set(y)) == 1:
        return Line(0.0, 0.0, 0.0)  # where nothing varies, scipy divides by 0
    from scipy.stats import linregress

    found: Any = linregress(x, y)
    slope, error, freedom = float(found.slope), float(found.stderr), len(x) - 2
    reach = student_quantile(z, freedom) * error if freedom > 0 else math.inf
    return Line(slope, slope - reach, slope + reach)
