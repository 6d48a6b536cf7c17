"""Decide which request may run now on one engine. Pure: time, memory and identifiers come from outside.

Three classes stand in three lines. Each line is first in, first out. The next to go is the head of

1. a class whose patience has ended: its head has stood there for `patience_s`, and so long has nobody of the class
   been admitted. So every class moves, whatever the others do, and at most once in that time at their expense;
2. else the first class, in the order of SchedulingClass, that may go: evaluation may not while interactive requests
   wait anywhere on the machine, nor beyond its share of the rows.

The one that is next is never overtaken because it is large. While it does not fit, nobody else is admitted on its
engine, and other engines stay within the memory that is kept for each of them, until rows have ended and it does fit.
One that is to run alone waits in the same way until its engine has no row, and nobody is admitted there beside it.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.contracts.scheduling import SchedulingClass
from gateway.fleet.budget import Holding, Machine, planned_kv_bytes

_SMOOTHING_RATIO = 0.2
"""Weight of the newest service time in the running mean that Retry-After is made of."""
_FIRST_GUESS_S = 2.0
_SHORTEST_RETRY_S = 1.0


@dataclass(frozen=True, kw_only=True)
class ClassPolicy:
    max_queued: int
    """Beyond those for whom a row is free."""
    patience_s: float | None = None
    """None for the class that goes first anyway."""
    rows_ratio: float = 1.0
    """Of the rows, never less than one."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    retry_after_s: float


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What admission does not know of itself."""

    now_s: float
    kv_room_bytes: int
    """For the key-value cache of all rows of this engine and what moving it takes."""
    interactive_waits: bool
    """On any engine of this machine."""


@dataclass
class _Waiting:
    scheduling_class: SchedulingClass
    entered_s: float
    alone: bool = False
    """Whether it may not run beside others."""
    tokens: int | None = None
    """Prompt and completion; None until the engine has said how long the prompt is."""


@dataclass(frozen=True)
class _Running:
    waited: _Waiting
    admitted_s: float
    tokens: int

    @property
    def scheduling_class(self) -> SchedulingClass:
        return self.waited.scheduling_class


@dataclass(eq=False)
class Admission:
    """Bounded lines before a bounded number of rows and a bounded cache."""

    policies: Mapping[SchedulingClass, ClassPolicy]
    kv_bytes_per_token: int = 0
    capacity: int = 0
    """Rows that may run; 0 while the engine cannot take any."""
    _waiting: dict[int, _Waiting] = field(default_factory=dict[int, _Waiting])
    _running: dict[int, _Running] = field(default_factory=dict[int, _Running])
    _lines: dict[SchedulingClass, deque[int]] = field(
        default_factory=lambda: {scheduling_class: deque[int]() for scheduling_class in SchedulingClass}
    )
    _moved_s: dict[SchedulingClass, float] = field(default_factory=dict[SchedulingClass, float])
    """When somebody of the class was last admitted."""
    _mean_service_s: float = _FIRST_GUESS_S
    _unsettled_kv_bytes: int = 0

    @property
    def running_count(self) -> int:
        return len(self._running)

    @property
    def waiting_count(self) -> int:
        return len(self._waiting)

    def waiting_count_of(self, scheduling_class: SchedulingClass) -> int:
        return len(self._lines[scheduling_class])

    @property
    def planned_kv_bytes(self) -> int:
        """What the rows that run are to hold at most, in the moment of a join or a removal."""
        return planned_kv_bytes((row.tokens for row in self._running.values()), self.kv_bytes_per_token)

    @property
    def held_kv_bytes(self) -> int:
        """What other engines leave to this one: a row that has ended here is there until the engine's next step."""
        return max(self.planned_kv_bytes, self._unsettled_kv_bytes)

    def enter(
        self,
        ticket: int,
        scheduling_class: SchedulingClass,
        *,
        now_s: float,
        accepted: bool = False,
        alone: bool = False,
    ) -> Refused | None:
        """Give the ticket the last place of its line; refuse it where that is full, unless it was accepted before.

        With `alone` it runs when nobody else does on its engine, and nobody else beside it.
        """
        line = self._lines[scheduling_class]
        if not accepted and len(line) - self._free_rows(scheduling_class) >= self.policies[scheduling_class].max_queued:
            return Refused(retry_after_s=self.expected_wait_s(scheduling_class))
        line.append(ticket)
        self._waiting[ticket] = _Waiting(scheduling_class, now_s, alone)
        return None

    def measure(self, ticket: int, tokens: int) -> None:
        """Note how many tokens a waiting ticket may come to; before that it is not admitted."""
        self._waiting[ticket].tokens = tokens

    def leave(self, ticket: int) -> None:
        """Take a waiting ticket out of its line."""
        self._lines[self._waiting.pop(ticket).scheduling_class].remove(ticket)

    def finish(self, ticket: int, *, now_s: float) -> None:
        """Give a row back."""
        self._unsettled_kv_bytes = self.held_kv_bytes
        row = self._running.pop(ticket)
        self._mean_service_s += _SMOOTHING_RATIO * (now_s - row.admitted_s - self._mean_service_s)

    def requeue(self, ticket: int) -> None:
        """Put a ticket whose row is lost back to where it stood in its line, to be measured anew: it is not refused."""
        row = self._running.pop(ticket)
        waiting = self._waiting[ticket] = replace(row.waited, tokens=None)
        line = self._lines[waiting.scheduling_class]
        earlier = sum((self._waiting[other].entered_s, other) < (waiting.entered_s, ticket) for other in line)
        line.insert(earlier, ticket)

    def settle(self) -> bool:
        """Note that the engine holds no row any more that has ended; return whether there was one."""
        if not self._unsettled_kv_bytes:  # asked after every step
            return False
        changed = self._unsettled_kv_bytes > self.planned_kv_bytes
        self._unsettled_kv_bytes = 0
        return changed

    def admit(self, around: Surroundings) -> list[int]:
        """Return the tickets that hold a row from now on, in order; `finish` gives it back."""
        admitted: list[int] = []
        while len(self._running) < self.capacity and (ticket := self._next(around)) is not None:
            waiting = self._waiting[ticket]
            if waiting.tokens is None or not self._may_join(waiting) or not self._fits(waiting.tokens, around):
                break
            self._lines[waiting.scheduling_class].popleft()
            del self._waiting[ticket]
            self._running[ticket] = _Running(waiting, around.now_s, waiting.tokens)
            self._moved_s[waiting.scheduling_class] = around.now_s
            admitted.append(ticket)
        return admitted

    def urgency(self, around: Surroundings) -> tuple[bool, int, float] | None:
        """Return what orders the next tickets of several engines, smallest first; None where nobody is next."""
        ticket = self._next(around)
        if ticket is None:
            return None
        waiting = self._waiting[ticket]
        overdue_s = self._overdue_s(waiting.scheduling_class)
        patient = overdue_s is None or overdue_s > around.now_s
        return patient, list(SchedulingClass).index(waiting.scheduling_class), waiting.entered_s

    def waits_for_memory(self, around: Surroundings) -> bool:
        """Whether the next ticket would be admitted if there were more room."""
        waiting = self._waiting[ticket] if (ticket := self._next(around)) is not None else None
        if waiting is None or waiting.tokens is None or not self._may_join(waiting):
            return False
        return not self._fits(waiting.tokens, around)

    def patience_ends_s(self, now_s: float) -> float | None:
        """Return when the next waiting class may go whatever the others do; None where none waits for that."""
        ends = [self._overdue_s(scheduling_class) for scheduling_class in SchedulingClass]
        return min((end_s for end_s in ends if end_s is not None and end_s > now_s), default=None)

    def expected_wait_s(self, scheduling_class: SchedulingClass) -> float:
        """Estimate how long the last of this class waits, from the mean time that a request took.

        Those before it are its class and the classes that go first. Where memory lets fewer run than there are rows,
        those that run are what goes at once.
        """
        classes = list(SchedulingClass)
        ahead = sum(len(self._lines[before]) for before in classes[: classes.index(scheduling_class) + 1])
        rows = self._row_limit(scheduling_class)
        if self._waiting and 0 < len(self._running) < rows:
            rows = len(self._running)
        return max(_SHORTEST_RETRY_S, self._mean_service_s * (ahead + 1) / max(rows, 1))

    def _next(self, around: Surroundings) -> int | None:
        """Return the ticket that is to go next, whether or not it can go now."""
        open_classes = [it for it in SchedulingClass if self._lines[it] and self._free_rows(it) > 0]
        overdue = {it: end_s for it in open_classes if (end_s := self._overdue_s(it)) is not None}
        overdue = {it: end_s for it, end_s in overdue.items() if end_s <= around.now_s}
        if overdue:
            return self._lines[min(overdue, key=overdue.__getitem__)][0]
        if around.interactive_waits:
            open_classes = [it for it in open_classes if it is not SchedulingClass.EVALUATION]
        return self._lines[open_classes[0]][0] if open_classes else None

    def _overdue_s(self, scheduling_class: SchedulingClass) -> float | None:
        line, patience_s = self._lines[scheduling_class], self.policies[scheduling_class].patience_s
        if not line or patience_s is None:
            return None
        entered_s = self._waiting[line[0]].entered_s
        return max(entered_s, self._moved_s.get(scheduling_class, entered_s)) + patience_s

    def _may_join(self, waiting: _Waiting) -> bool:
        return not self._running or not (waiting.alone or any(row.waited.alone for row in self._running.values()))

    def _fits(self, tokens: int, around: Surroundings) -> bool:
        rows = [row.tokens for row in self._running.values()]
        return planned_kv_bytes([*rows, tokens], self.kv_bytes_per_token) <= around.kv_room_bytes

    def _row_limit(self, scheduling_class: SchedulingClass) -> int:
        return max(1, int(self.capacity * self.policies[scheduling_class].rows_ratio)) if self.capacity else 0

    def _free_rows(self, scheduling_class: SchedulingClass) -> int:
        held = sum(row.scheduling_class is scheduling_class for row in self._running.values())
        return max(0, min(self.capacity - len(self._running), self._row_limit(scheduling_class) - held))


def admit_everywhere(
    engines: Sequence[tuple[Admission, Holding]], machine: Machine, *, now_s: float
) -> list[tuple[Admission, int]]:
    """Admit on all engines of the machine until nobody more may go; return whom, in order, with the engine's admission.

    The holdings say what the engines hold beside their requests.
    """
    admitted: list[tuple[Admission, int]] = []
    while True:
        before = len(admitted)
        admitted += _admit_once(engines, machine, now_s)
        if len(admitted) == before:
            return admitted


def _admit_once(
    engines: Sequence[tuple[Admission, Holding]], machine: Machine, now_s: float
) -> list[tuple[Admission, int]]:
    """Give each engine its turn, the one with the most urgent request first."""
    waits = any(admission.waiting_count_of(SchedulingClass.INTERACTIVE) for admission, _ in engines)
    nowhere = Surroundings(now_s=now_s, kv_room_bytes=0, interactive_waits=waits)
    turns = [(urgency, turn) for turn in engines if (urgency := turn[0].urgency(nowhere)) is not None]
    admitted: list[tuple[Admission, int]] = []
    somebody_waits_for_memory = False
    for _, (admission, holding) in sorted(turns, key=lambda turn: turn[0]):
        others = [
            replace(other_holding, kv_planned_bytes=other.held_kv_bytes)
            for other, other_holding in engines
            if other is not admission
        ]
        room_bytes = machine.kv_room_bytes(holding, others)
        if somebody_waits_for_memory:
            room_bytes = min(room_bytes, holding.kv_floor_bytes)
        around = replace(nowhere, kv_room_bytes=room_bytes)
        admitted += [(admission, ticket) for ticket in admission.admit(around)]
        somebody_waits_for_memory |= admission.waits_for_memory(around)
    return admitted
