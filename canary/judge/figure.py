"""The figure that a criterion is applied to, and the bounds on either side of it."""

import math
from typing import NamedTuple


class Figure(NamedTuple):
    """What was measured. A bound that the number of cases does not allow is infinite."""

    n: int
    """Trials of a level, pairs of a difference."""
    families: int
    """Independent units among them; of times that were measured apart, cycles."""
    value: float | None
    low: float
    high: float


NOTHING = Figure(0, 0, None, -math.inf, math.inf)
