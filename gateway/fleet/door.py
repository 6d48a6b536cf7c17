"""Before an engine that is being exchanged: requests wait here until it is known which engine answers them."""

import asyncio
import time
from collections import Counter

from gateway.contracts.scheduling import RefusalReason, SchedulingClass
from gateway.errors import GatewayError, NotReady, QueueFull
from gateway.fleet.line import Claim
from gateway.settings import QueueSettings
from gateway.telemetry.metrics import Metrics

_SHORTEST_RETRY_S = 1.0


class Door:
    """Closed when it is made, and opened once. Each class has as many places before it as in the line of an engine."""

    def __init__(self, settings: QueueSettings, *, wait_timeout_s: float, metrics: Metrics) -> None:
        self._settings = settings
        self._wait_timeout_s = wait_timeout_s
        self._metrics = metrics
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting: Counter[SchedulingClass] = Counter()
        self._opens_s = time.monotonic()
        self._turns_away = False

    def waiting_count_of(self, scheduling_class: SchedulingClass) -> int:
        return self._waiting[scheduling_class]

    def expect(self, opens_in_s: float) -> None:
        """Note when it should open, for those who are told to come back."""
        self._opens_s = time.monotonic() + opens_in_s

    async def wait(self, scheduling_class: SchedulingClass, claim: Claim) -> None:
        """Wait until it opens, first in first out.

        Raises QueueFull, NotReady where it stays closed for too long or nobody is to wait, and the error that
        `dissolve` was given.
        """
        if self._turns_away and not self._opened.done():
            self._metrics.queue.refused(scheduling_class, RefusalReason.OFFLINE)
            raise NotReady("The model is offline for maintenance; ask again later.", retry_after_s=self._retry_after_s)
        limits = self._settings.limits_of(scheduling_class)
        if not claim.accepted and self._waiting[scheduling_class] >= limits.max_queued:
            self._metrics.queue.refused(scheduling_class, RefusalReason.QUEUE_FULL)
            raise QueueFull(
                f"The model is being changed and {limits.max_queued} {scheduling_class} requests wait already, which "
                f"is queue.{scheduling_class}.max_queued; ask again later.",
                retry_after_s=self._retry_after_s,
            )
        claim.accepted = True
        self._waiting[scheduling_class] += 1
        of_class_s = claim.since_s + limits.timeout_s - time.monotonic()
        setting = "swap.wait_timeout_s" if self._wait_timeout_s < of_class_s else f"queue.{scheduling_class}.timeout_s"
        try:
            async with asyncio.timeout(max(0.0, min(of_class_s, self._wait_timeout_s))):
                await asyncio.shield(self._opened)
        except TimeoutError:
            self._metrics.queue.refused(scheduling_class, RefusalReason.DEADLINE)
            raise NotReady(
                f"The model is being changed, and the request waited as long for that as it may ({setting}); ask again "
                "later.",
                retry_after_s=self._retry_after_s,
            ) from None
        finally:
            self._waiting[scheduling_class] -= 1

    def turn_away(self) -> None:
        """Have nobody wait who comes from now on: each is told when to come back."""
        self._turns_away = True

    def open(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def dissolve(self, error: GatewayError) -> None:
        """Send everybody away, also those who come later."""
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # nobody may be waiting; that is no unhandled error

    @property
    def _retry_after_s(self) -> float:
        return max(_SHORTEST_RETRY_S, self._opens_s - time.monotonic())
