"""Decide which request may run now. Pure: time and identifiers come from outside, nothing here waits."""

from collections import deque
from dataclasses import dataclass, field

_SMOOTHING_RATIO = 0.2
"""Weight of the newest service time in the running mean that Retry-After is made of."""
_FIRST_GUESS_S = 2.0
_SHORTEST_RETRY_S = 1.0


@dataclass(frozen=True)
class Admitted:
    """It holds a row from now on; `finish` gives it back."""


@dataclass(frozen=True)
class Waiting:
    """It stands in line; a later `finish` or `resize` returns its ticket, or `leave` takes it out."""


@dataclass(frozen=True)
class Refused:
    retry_after_s: float


@dataclass
class Admission:
    """A bounded line, first in first out, before a bounded number of rows."""

    max_queued: int
    capacity: int = 0
    """Rows that may run; 0 while the engine cannot take any."""
    _running: dict[int, float] = field(default_factory=dict[int, float])
    """Ticket to the time of admission."""
    _waiting: deque[int] = field(default_factory=deque[int])
    _mean_service_s: float = _FIRST_GUESS_S

    @property
    def running_count(self) -> int:
        return len(self._running)

    @property
    def waiting_count(self) -> int:
        return len(self._waiting)

    def arrive(self, ticket: int, *, now_s: float) -> Admitted | Waiting | Refused:
        if not self._waiting and len(self._running) < self.capacity:
            self._running[ticket] = now_s
            return Admitted()
        if len(self._waiting) >= self.max_queued:
            return Refused(retry_after_s=self.expected_wait_s(len(self._waiting)))
        self._waiting.append(ticket)
        return Waiting()

    def finish(self, ticket: int, *, now_s: float) -> list[int]:
        """Give a row back and return the tickets that are admitted in its place."""
        admitted_s = self._running.pop(ticket)
        self._mean_service_s += _SMOOTHING_RATIO * (now_s - admitted_s - self._mean_service_s)
        return self._admit(now_s)

    def leave(self, ticket: int) -> None:
        """Take a waiting ticket out of the line."""
        self._waiting.remove(ticket)

    def resize(self, capacity: int, *, now_s: float) -> list[int]:
        """Change the number of rows and return the tickets that are admitted by it; running ones stay."""
        self.capacity = capacity
        return self._admit(now_s)

    def expected_wait_s(self, ahead: int) -> float:
        """Estimate how long somebody with `ahead` others before it waits, from the mean time that a request took."""
        return max(_SHORTEST_RETRY_S, self._mean_service_s * (ahead + 1) / max(self.capacity, 1))

    def _admit(self, now_s: float) -> list[int]:
        admitted: list[int] = []
        while self._waiting and len(self._running) < self.capacity:
            ticket = self._waiting.popleft()
            self._running[ticket] = now_s
            admitted.append(ticket)
        return admitted
