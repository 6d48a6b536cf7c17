"""When an engine that failed is started again, and when trying is no use for the moment. Pure: no clock, no dice.

    closed     it is started again after a pause, which doubles from failure to failure; requests wait meanwhile
    open       too many failures in a row: it rests, and requests are refused at once
    half-open  after the rest it is started and runs one request; an answer closes the breaker, a failure opens it

An answer alone does not begin the count anew, or an engine that fails at every tenth request would never rest: a life
of `stable_after_s` does.
"""

from dataclasses import dataclass

from gateway.contracts.admin import BreakerState

_LONGEST_OPEN_RATIO = 10
"""Of the longest rest to the first."""


@dataclass(kw_only=True)
class Breaker:
    failures_limit: int
    """Failures in a row that open it."""
    open_s: float
    """The first rest."""
    stable_after_s: float
    backoff_initial_s: float
    backoff_max_s: float
    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    """In a row."""
    _openings: int = 0
    """Since it was last closed."""

    def failed(self, *, lived_s: float) -> None:
        """Note a failure of a process that had been ready for so long; 0 where it never was."""
        if lived_s >= self.stable_after_s:
            self.failures = 0
            self.state = BreakerState.CLOSED
        self.failures += 1
        if self.state is BreakerState.HALF_OPEN or self.failures >= self.failures_limit:
            self.state = BreakerState.OPEN
            self._openings += 1

    def pause_s(self, draw: float) -> float:
        """Return how long to wait before the next start; `draw` is in [0, 1).

        A rest is as long as was promised to those who were refused. A pause is drawn from the upper half of its
        length: engines that one shortage of memory ended together do not load together again.
        """
        if self.state is BreakerState.OPEN:
            return self.open_s * min(2.0 ** (self._openings - 1), _LONGEST_OPEN_RATIO)
        doublings = min(self.failures - 1, 32)
        longest_s = min(self.backoff_initial_s * 2.0**doublings, self.backoff_max_s)
        return longest_s * (1 + draw) / 2

    def starts(self) -> None:
        """Note that the engine is started again."""
        if self.state is BreakerState.OPEN:
            self.state = BreakerState.HALF_OPEN

    def answered(self) -> bool:
        """Note that a request came to its end; return whether that closed the breaker."""
        if self.state is not BreakerState.HALF_OPEN:
            return False
        self.state = BreakerState.CLOSED
        self._openings = 0
        return True
