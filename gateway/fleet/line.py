"""Requests that wait for a row of one engine, in the event loop: places in the lines that `admission` orders."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.contracts.scheduling import RefusalReason, SchedulingClass
from gateway.errors import GatewayError, QueueFull
from gateway.fleet.admission import Admission, ClassPolicy, Refused
from gateway.settings import QueueSettings
from gateway.telemetry.metrics import Metrics


class Rerouted(Exception):
    """The engine gave up its place in the line of a request that another engine may answer: ask again which."""


@dataclass(eq=False)
class Claim:
    """What a request has beside its class, and takes along from one line to the next."""

    movable: bool = False
    """Whether another engine may answer it as long as it has no row."""
    bound: bool = False
    """It is a part of an answer that this engine has begun: it goes in where others wait outside."""
    since_s: float = field(default_factory=time.monotonic)
    """When it came first."""
    accepted: bool = False
    """It has stood in a line before, so no other refuses it because it is full."""


@dataclass(eq=False)
class Place:
    """Of one request, from its coming to the end of its row."""

    ticket: int
    scheduling_class: SchedulingClass
    timeout_s: float
    """Of its class."""
    left_s: float
    """Of that, when it entered."""
    entered_s: float
    movable: bool
    alone: bool = False
    """Whether it runs beside nobody."""
    admitted: asyncio.Future[None] = field(default_factory=asyncio.Future[None])
    holds_row: bool = False


class Line:
    """The order is Admission's; here are the ones who wait."""

    def __init__(
        self, settings: QueueSettings, *, kv_bytes_per_token: int, on_change: Callable[[], None], metrics: Metrics
    ) -> None:
        """`on_change` is called when somebody may have become next, and has all engines of the machine admit."""
        self.admission = Admission(policies_of(settings), kv_bytes_per_token)
        """Its order; `enter`, `leave`, `open` and `seat` are how it is changed."""
        self._settings = settings
        self._on_change = on_change
        self._metrics = metrics
        self._tickets = itertools.count()
        self._places: dict[int, Place] = {}
        self._stays = 0
        self._patience: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._shared = asyncio.Event()
        self._shared.set()
        self._left_s = time.monotonic()
        self.admitted: Counter[SchedulingClass] = Counter()
        """Requests that ever got a row here."""

    @property
    def idle_s(self) -> float:
        """Seconds since the last one left; 0 while one is here."""
        return time.monotonic() - self._left_s if self._idle.is_set() else 0.0

    @property
    def running(self) -> Counter[SchedulingClass]:
        """Requests that hold a row now."""
        return Counter(place.scheduling_class for place in self._places.values() if place.holds_row)

    @property
    def is_busy(self) -> bool:
        """Whether somebody runs or waits."""
        return not self._idle.is_set()

    async def empty(self) -> None:
        """Wait until nobody runs or waits."""
        await self._idle.wait()

    @contextmanager
    def stay(self) -> Generator[None]:
        """Count as somebody here: of an answer with several parts, the next may come when the one before has left."""
        self._stays += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._stays -= 1
            self._note_left()

    async def shared(self) -> None:
        """Wait until nobody holds the engine alone."""
        await self._shared.wait()

    def enter(self, scheduling_class: SchedulingClass, claim: Claim | None = None, *, alone: bool = False) -> Place:
        """Take the last place of the class's line, to run beside nobody where it says so. Raises QueueFull."""
        claim = claim or Claim()
        limits = self._settings.limits_of(scheduling_class)
        now_s = time.monotonic()
        left_s = max(0.0, claim.since_s + limits.timeout_s - now_s)
        place = Place(next(self._tickets), scheduling_class, limits.timeout_s, left_s, now_s, claim.movable, alone)
        refused = self.admission.enter(
            place.ticket, scheduling_class, now_s=now_s, accepted=claim.accepted, alone=alone
        )
        if isinstance(refused, Refused):
            self._metrics.queue.refused(scheduling_class, RefusalReason.QUEUE_FULL)
            raise QueueFull(
                f"{limits.max_queued} {scheduling_class} requests wait already, which is "
                f"queue.{scheduling_class}.max_queued; ask again later.",
                retry_after_s=refused.retry_after_s,
            )
        claim.accepted = True
        self._idle.clear()
        self._places[place.ticket] = place
        return place

    def measure(self, place: Place, tokens: int) -> None:
        """Say how many tokens the request may come to, prompt and completion: it may be admitted from now on."""
        self.admission.measure(place.ticket, tokens)
        self._on_change()

    def leave(self, place: Place, *, settled: bool) -> None:
        """Give up a place, or the row that was got for it. `settled` says that the engine holds no row any more."""
        del self._places[place.ticket]
        now_s = self._left_s = time.monotonic()
        if place.holds_row:
            self.admission.finish(place.ticket, now_s=now_s)
            self._let_share(place)
        else:
            self.admission.leave(place.ticket)
        if settled:
            self.admission.settle()
        self._note_left()
        self._on_change()

    def requeue(self, place: Place) -> None:
        """Put one whose row is lost back to where it stood, to be measured and admitted anew, here and nowhere else."""
        self.admission.requeue(place.ticket)
        self.admission.settle()  # a lost row is lost with its process, and all that it held
        self._let_share(place)
        place.holds_row = place.movable = False
        place.admitted = asyncio.get_running_loop().create_future()

    def settle(self) -> None:
        """The engine has stepped: the memory of rows that had ended before is there for others."""
        if self.admission.settle():
            self._on_change()

    def open(self, rows: int) -> None:
        """Let so many run at once; with 0, nobody who does not run yet."""
        self._left_s = time.monotonic()
        self.admission.capacity = rows
        self._on_change()

    def seat(self, ticket: int, *, now_s: float) -> None:
        """Tell the one whom the admission has let in."""
        place = self._places[ticket]
        self._metrics.queue.admitted(place.scheduling_class, wait_s=now_s - place.entered_s)
        place.holds_row = True
        self.admitted[place.scheduling_class] += 1
        if place.alone:
            self._shared.clear()
        if not place.admitted.done():  # who is cancelled in this very moment gives the row back at once
            place.admitted.set_result(None)

    def wake_when_patience_ends(self, now_s: float) -> None:
        """Have the engines admit when the next class may go that could not before."""
        self.close()
        end_s = self.admission.patience_ends_s(now_s)
        if end_s is not None:
            self._patience = asyncio.get_running_loop().call_later(end_s - now_s, self._on_change)

    def dissolve(self, error: GatewayError) -> None:
        """Send everybody away who does not run yet."""
        for place in self._places.values():
            if not place.admitted.done():
                place.admitted.set_exception(error)
                place.admitted.exception()  # one that is still being measured is told in another way

    def turn_out(self) -> None:
        """Send those away who hold no row and may be answered by another engine: each is Rerouted."""
        for place in self._places.values():
            if place.movable and not place.admitted.done():
                place.admitted.set_exception(Rerouted())
                place.admitted.exception()  # one that is still being measured looks at it afterwards

    def _note_left(self) -> None:
        if not self._places and not self._stays:
            self._idle.set()

    def close(self) -> None:
        """End the timer; nobody is admitted by it any more."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _let_share(self, place: Place) -> None:
        if place.alone:
            self._shared.set()


def policies_of(settings: QueueSettings) -> dict[SchedulingClass, ClassPolicy]:
    evaluation = settings.evaluation
    return {
        SchedulingClass.INTERACTIVE: ClassPolicy(max_queued=settings.interactive.max_queued),
        SchedulingClass.BATCH: ClassPolicy(max_queued=settings.batch.max_queued, patience_s=settings.batch.patience_s),
        SchedulingClass.EVALUATION: ClassPolicy(
            max_queued=evaluation.max_queued, patience_s=evaluation.patience_s, rows_ratio=evaluation.rows_ratio
        ),
    }
