"""Two-sided 95 % intervals for the figures that a verdict quotes."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# scipy ships no types. This file is the only one that imports it, and turns each result into a float at once.
# Only scipy.special: scipy.stats and scipy.optimize take two seconds to import, which every command would wait for.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from scipy.special import ndtri, stdtrit

CONFIDENCE = 0.95
_TAIL = 1 - (1 - CONFIDENCE) / 2
_ROOT_TOLERANCE = 1e-12


class Interval(NamedTuple):
    low: float
    high: float


def wilson_interval(successes: int, n: int) -> Interval:
    """Return Wilson's score interval of a proportion, from `n` >= 1 independent trials.

    Wilson, E. B. (1927), J. Am. Stat. Assoc. 22:209-212, without continuity correction.
    """
    z = float(ndtri(_TAIL))
    ratio = successes / n
    centre = (ratio + z * z / (2 * n)) / (1 + z * z / n)
    half_width = z / (1 + z * z / n) * math.sqrt(ratio * (1 - ratio) / n + z * z / (4 * n * n))
    # At the ends the closed form misses 0 and 1 by a rounding error.
    low = 0.0 if successes == 0 else centre - half_width
    return Interval(low, 1.0 if successes == n else centre + half_width)


def tango_interval(gained: int, lost: int, n: int) -> Interval:
    """Return Tango's score interval of a difference of paired proportions, (gained - lost) / n, within [-1, 1].

    `gained` counts the pairs that only the candidate has right, `lost` those that only the incumbent has, of `n` >= 1
    pairs. Its ends are the differences d where the score statistic below equals -z and z.

    Tango, T. (1998), Statistics in Medicine 17:891-908, equations 4 and 5.
    """
    z = float(ndtri(_TAIL))
    observed = (gained - lost) / n

    def root(score: float, low: float, high: float) -> float:
        """Halve [low, high], over which the score falls, until it is as narrow as the tolerance."""
        while high - low > _ROOT_TOLERANCE:
            middle = (low + high) / 2
            if _tango_score(gained, lost, n, middle) > score:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    # The score falls from +infinity at -1 through 0 at the observed difference to -infinity at 1.
    low = -1.0 if lost == n else root(z, -1 + _ROOT_TOLERANCE, observed)
    high = 1.0 if gained == n else root(-z, observed, 1 - _ROOT_TOLERANCE)
    return Interval(low, high)


def _tango_score(gained: int, lost: int, n: int, difference: float) -> float:
    """Return how many standard errors the observed difference lies above `difference`.

    With b = gained, c = lost, d = difference and q = P(only the incumbent is right), the likelihood under d is
    (q + d)^b q^c (1 - 2 q - d)^(n - b - c). It is greatest at the larger root of

        2 n q^2 - [(b + c)(1 - d) - 2 c d - 2 (n - b - c) d] q - c d (1 - d) = 0

    and the score is (b - c - n d) / sqrt(n (2 q + d - d^2)).
    """
    numerator = gained - lost - n * difference
    if numerator == 0:
        return 0.0
    concordant = n - gained - lost
    linear = -(gained + lost) * (1 - difference) + 2 * lost * difference + 2 * concordant * difference
    constant = -lost * difference * (1 - difference)
    discriminant = max(linear * linear - 8 * n * constant, 0.0)
    only_incumbent = max((math.sqrt(discriminant) - linear) / (4 * n), 0.0, -difference)
    variance = n * (2 * only_incumbent + difference - difference * difference)
    return numerator / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, numerator)


def t_interval(values: Sequence[float], *, floor: float = -math.inf, ceiling: float = math.inf) -> Interval | None:
    """Return Student's interval of a mean, cut to [floor, ceiling]; None below two values, which have no spread.

    mean +- t(0.975, n - 1) * s / sqrt(n), with s the sample's standard deviation.
    """
    n = len(values)
    if n < 2:  # noqa: PLR2004 - one value has no spread
        return None
    centre = mean(values)
    spread = float(np.std(np.asarray(values, dtype=np.float64), ddof=1))
    half_width = float(stdtrit(n - 1, _TAIL)) * spread / math.sqrt(n)
    return Interval(max(centre - half_width, floor), min(centre + half_width, ceiling))


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one value, rounded once: the same on every machine and in every order."""
    return math.fsum(values) / len(values)
