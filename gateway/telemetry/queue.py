"""Who waits for a row, for how long, and who gets none."""

from collections.abc import Mapping

from gateway.contracts.scheduling import RefusalReason, SchedulingClass
from gateway.telemetry.declarations import Declarations, closed
from gateway.telemetry.requests import TIME_TO_FIRST_TOKEN_BUCKETS_S

_CLASS = closed("class", SchedulingClass)


class QueueMetrics:
    def __init__(self, declare: Declarations) -> None:
        self._running = declare.gauge("gateway_requests_running", "Requests that hold a row of an engine.")
        self._queued = declare.gauge("gateway_requests_queued", "Requests that wait for a row.", _CLASS)
        self._wait = declare.histogram(
            "gateway_queue_wait_seconds",
            "From a request's coming to its row: measuring it, and waiting its turn.",
            _CLASS,
            buckets=TIME_TO_FIRST_TOKEN_BUCKETS_S,
        )
        self._refusals = declare.counter(
            "gateway_requests_refused",
            "Requests that got no row: the line was full, they waited too long, or they can never fit.",
            _CLASS,
            closed("reason", RefusalReason),
        )
        self._again = declare.counter(
            "gateway_requests_run_again",
            "Requests that began anew because the engine failed before their clients had been sent anything.",
            _CLASS,
        )

    def observed(self, *, running: int, queued: Mapping[SchedulingClass, int]) -> None:
        """Requests that hold a row of an engine now, and those that wait for one."""
        self._running.set(running)
        for scheduling_class, count in queued.items():
            self._queued.labels(scheduling_class.value).set(count)

    def admitted(self, scheduling_class: SchedulingClass, *, wait_s: float) -> None:
        """Observe how long a request waited that holds a row now."""
        self._wait.labels(scheduling_class.value).observe(wait_s)

    def refused(self, scheduling_class: SchedulingClass, reason: RefusalReason) -> None:
        self._refusals.labels(scheduling_class.value, reason.value).inc()

    def runs_again(self, scheduling_class: SchedulingClass) -> None:
        """Count a request whose engine crashed under it, and which begins anew."""
        self._again.labels(scheduling_class.value).inc()
