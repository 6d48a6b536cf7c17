"""Evidence that may be read after every case: a bet against a hypothesis, which seldom wins much where it is true."""

import math

import numpy as np
from numpy.typing import NDArray

BETS = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 0.95)
"""Shares of what there is that are staked on each case. The evidence is their mean, for none is best for all harms."""


def log_evidence(values: NDArray[np.float64], *, floor: float, top: float) -> NDArray[np.float64]:
    """Return ln E after each value against the hypothesis that their mean is at least `floor`.

    `values` lie in (-inf, top], with `floor` below `top`, in the order they were seen, along the last axis. With the
    share f staked, what there is grows by 1 - f (value - floor) / (top - floor), whose mean under the hypothesis is at
    most 1 where each value is drawn independently. So E exceeds 1 / alpha at any time with a probability of at most
    alpha (Ville's inequality), whenever one stops and however often one looks.

    Waudby-Smith, I. and Ramdas, A. (2024), J. Roy. Stat. Soc. B 86:1-27, section 4; a mixture over f as in their
    section 4.3.
    """
    surplus = (values - floor) / (top - floor)
    wealth = [np.cumsum(np.log1p(-bet * surplus), axis=-1) for bet in BETS]
    return np.logaddexp.reduce(wealth, axis=0) - math.log(len(BETS))
