"""Requests that wait for a row of one engine, in the event loop: places in the lines that `admission` orders."""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.contracts.scheduling import RefusalReason, SchedulingClass
from gateway.errors import GatewayError, QueueFull
from gateway.fleet.admission import Admission, ClassPolicy, Refused
from gateway.settings import QueueSettings
from gateway.telemetry.metrics import Metrics


@dataclass(eq=False)
class Place:
    """Of one request, from its coming to the end of its row."""

    ticket: int
    scheduling_class: SchedulingClass
    timeout_s: float
    entered_s: float
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
        self._patience: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._left_s = time.monotonic()

    @property
    def idle_s(self) -> float:
        """Seconds since the last one left; 0 while one is here."""
        return time.monotonic() - self._left_s if self._idle.is_set() else 0.0

    async def empty(self) -> None:
        """Wait until nobody runs or waits."""
        await self._idle.wait()

    def enter(self, scheduling_class: SchedulingClass) -> Place:
        """Take the last place of the class's line. Raises QueueFull."""
        limits = self._settings.limits_of(scheduling_class)
        place = Place(next(self._tickets), scheduling_class, limits.timeout_s, time.monotonic())
        refused = self.admission.enter(place.ticket, scheduling_class, now_s=place.entered_s)
        if isinstance(refused, Refused):
            self._metrics.request_refused(scheduling_class, RefusalReason.QUEUE_FULL)
            raise QueueFull(
                f"{limits.max_queued} {scheduling_class} requests wait already, which is "
                f"queue.{scheduling_class}.max_queued; ask again later.",
                retry_after_s=refused.retry_after_s,
            )
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
        else:
            self.admission.leave(place.ticket)
        if settled:
            self.admission.settle()
        if not self._places:
            self._idle.set()
        self._on_change()

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
        self._metrics.request_admitted(place.scheduling_class, wait_s=now_s - place.entered_s)
        place.holds_row = True
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

    def close(self) -> None:
        """End the timer; nobody is admitted by it any more."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def policies_of(settings: QueueSettings) -> dict[SchedulingClass, ClassPolicy]:
    evaluation = settings.evaluation
    return {
        SchedulingClass.INTERACTIVE: ClassPolicy(max_queued=settings.interactive.max_queued),
        SchedulingClass.BATCH: ClassPolicy(max_queued=settings.batch.max_queued, patience_s=settings.batch.patience_s),
        SchedulingClass.EVALUATION: ClassPolicy(
            max_queued=evaluation.max_queued, patience_s=evaluation.patience_s, rows_ratio=evaluation.rows_ratio
        ),
    }
