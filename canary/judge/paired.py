"""Scores and errors of figures that come in families, for one run or for many at once."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = Floats | np.float64 | float
"""One run's, or an array of many."""


def tango_score(gained: Numbers, lost: Numbers, n: Numbers, difference: float) -> Floats:
    """Return how many standard errors (gained - lost) / n lies above `difference`, by Tango's score statistic.

    `gained` counts the pairs that only the candidate has right, `lost` those that only the incumbent has, of `n` > 0
    pairs; the three may be divided by a design effect (Rao, J. N. K. and Scott, A. J. (1992), Biometrics 48:577-585).
    With b = gained, c = lost, d = difference and q = P(only the incumbent is right), the likelihood under d is
    (q + d)^b q^c (1 - 2 q - d)^(n - b - c). It is greatest at the larger root of

        2 n q^2 - [(b + c)(1 - d) - 2 c d - 2 (n - b - c) d] q - c d (1 - d) = 0

    and the score is (b - c - n d) / sqrt(n (2 q + d - d^2)).

    Tango, T. (1998), Statistics in Medicine 17:891-908, equations 4 and 5.
    """
    concordant = n - gained - lost
    linear = -(gained + lost) * (1 - difference) + 2 * lost * difference + 2 * concordant * difference
    constant = -lost * difference * (1 - difference)
    discriminant = np.maximum(linear * linear - 8 * n * constant, 0.0)
    only_incumbent = np.maximum((np.sqrt(discriminant) - linear) / (4 * n), max(0.0, -difference))
    variance = n * (2 * only_incumbent + difference - difference * difference)
    above = gained - lost - n * difference
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(above == 0, 0.0, above / np.sqrt(np.maximum(variance, 0.0)))


class Grouping(NamedTuple):
    """Which cases are of one family, in the form that sums over families need."""

    order: NDArray[np.intp]
    """Positions of the cases, sorted by family."""
    starts: NDArray[np.intp]
    """Where each family begins in that order."""


def grouped(families: Sequence[str]) -> Grouping:
    """Return the grouping of cases by the family that each is of."""
    number = {family: position for position, family in enumerate(dict.fromkeys(families))}
    numbers = np.array([number[family] for family in families], dtype=np.intp)
    order = np.argsort(numbers, kind="stable")
    return Grouping(order, np.searchsorted(numbers[order], np.arange(len(number))))


class FamilyMean(NamedTuple):
    """A mean over cases, and its error with families as the independent units."""

    value: Floats
    error: Floats


def family_mean(values: Floats, grouping: Grouping) -> FamilyMean:
    """Return the mean of `values` along the last axis, and its standard error, robust to what families share.

    With u_f the sum of the deviations from the mean in family f, of F, the error is sqrt(F / (F - 1) sum u_f^2) / n:
    the linearised variance of a ratio of sums over F independent draws (Cochran, W. G. (1977), Sampling Techniques,
    section 9A.1), and, with one case a family, the usual s / sqrt(n). Not a number below two families.
    """
    n, families = values.shape[-1], len(grouping.starts)
    value = values.mean(axis=-1)
    deviations = (values - value[..., np.newaxis])[..., grouping.order]
    sums = np.add.reduceat(deviations, grouping.starts, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(np.float64(families) / (families - 1) * (sums**2).sum(axis=-1)) / n
    return FamilyMean(value, error)


def effective_count(variance: Numbers, error: Numbers, *, n: int, families: int) -> Floats:
    """Return how many independent cases tell as much of a mean as `n` of these do, at most `n`.

    `variance` is that of one case, `error` the mean's, robust to families: n over the design effect (Kish, L. (1965),
    Survey Sampling, section 8.2). Where no case differs there is nothing to compare, and the families count.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        count = np.where((variance > 0) & (error > 0), np.divide(variance, np.square(error)), families)
    return np.minimum(count, n)


def wilson_low(share: Numbers, count: Numbers, z: float) -> Numbers:
    """Return the lower end of Wilson's score interval at `z` standard errors, of a share over `count` cases.

    For values between 0 and 1 whose mean is `share` it errs on the safe side: none vary more than 0 and 1 do.
    Korn, E. L. and Graubard, B. I. (1998), Survey Methodology 24:193-201, put the effective count into an interval.
    """
    z2 = z * z
    centre = share + z2 / (2 * count)
    spread = z * np.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    return (centre - spread) / (1 + z2 / count)


def least_families(margin: float, chance: float) -> int:
    """Return how many families it takes to meet one that is wholly broken, where a share `margin` of them is.

    With fewer, all of the loss that the margin excludes lies in families that no case is of with a probability of
    (1 - margin)^F, above `chance`.
    """
    return math.ceil(math.log(chance) / math.log(1 - margin)) if 0 < margin < 1 else 2
