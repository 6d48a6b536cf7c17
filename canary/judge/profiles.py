"""What each profile reads, and how sure it must be at each of its looks."""

import msgspec

from gateway.contracts.evaluations import Profile

SPENT_ALPHA = 0.04
"""What the boundaries of all looks add up to, one-sided. Scores of few, lopsided pairs are wrong a little more often
than a normal figure is: this much less keeps a candidate that is worse by the margin below 5 % (canary/README.md).
"""
UNSEEN_CHANCE = 0.01
"""Borne, that no family in which a loss of the margin's size lies is among those that were seen."""
HARM_EVIDENCE = 20.0
"""At which a candidate counts as worse: at most 1 in 20 that is no worse ever comes there."""
CATASTROPHE_EVIDENCE = 100.0
"""The same for a single category, of which there are several to be wrong about."""


class Plan(msgspec.Struct, frozen=True):
    """When a profile looks at whether a candidate has succeeded, evenly spaced; it looks for harm after every case."""

    boundaries: tuple[float, ...]
    """Standard errors that each look demands, more at the early ones."""
    max_cases: int | None
    """Cases that are planned at most; None plans all."""

    def planned(self, case_count: int) -> int:
        return case_count if self.max_cases is None else min(case_count, self.max_cases)

    def looks(self, case_count: int) -> tuple[int, ...]:
        """Return after how many cases of the order each look is taken."""
        planned, last = self.planned(case_count), len(self.boundaries)
        return tuple(-(-planned * look // last) for look in range(1, last + 1))


_BOUNDARIES = (2.7240, 2.2906, 2.0698, 1.9262)
"""Of Wang and Tsiatis with exponent 0.25: C (k / 4)^(0.25 - 0.5), with C = 1.9262 so that they add up to SPENT_ALPHA.

Wang, S. K. and Tsiatis, A. A. (1987), Biometrics 43:193-199.
"""

PLANS: dict[Profile, Plan] = {
    "full": Plan(boundaries=_BOUNDARIES, max_cases=None),
    "quick": Plan(boundaries=_BOUNDARIES, max_cases=200),
}
"""Profile `seed` has none: it reads all there is and decides on what it finds."""
