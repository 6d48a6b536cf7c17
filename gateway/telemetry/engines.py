"""What engines do and hold: their life, their steps, their memory and the machine's."""

from collections.abc import Iterable, Sequence

from gateway.contracts.admin import BreakerState, EngineState, EngineView, FailureReason, PrefixCacheCounts
from gateway.contracts.evaluations import Role
from gateway.contracts.status import MemoryStatus
from gateway.telemetry.declarations import Declarations, closed
from gateway.wire import Step

_PADDING_BUCKETS = tuple(tenths / 10 for tenths in range(1, 10))
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
_ROLE = closed("role", Role)


class EngineMetrics:
    def __init__(self, declare: Declarations) -> None:
        self._declare_life(declare)
        self._declare_steps(declare)
        self._declare_memory(declare)

    def _declare_life(self, declare: Declarations) -> None:
        self._up = declare.gauge("gateway_engine_up", "1 where every engine of the role is ready.", _ROLE)
        self._load = declare.gauge("gateway_engine_load_seconds", "Of the role's slowest load.", _ROLE)
        self._failures = declare.counter(
            "gateway_engine_failures",
            "Processes of engines that failed; all but one that was never ready are started again.",
            _ROLE,
            closed("reason", FailureReason),
        )
        self._restarts = declare.counter(
            "gateway_engine_restarts", "Processes of engines that failed and are started again for it.", _ROLE
        )
        self._breaker = declare.gauge(
            "gateway_engine_breaker_open",
            "1 where an engine of the role failed again and again, and its requests are refused for a while.",
            _ROLE,
        )

    def _declare_steps(self, declare: Declarations) -> None:
        self._steps = declare.counter("gateway_engine_steps", "Steps of all engines.")
        self._batch = declare.histogram("gateway_engine_batch_rows", "Rows held after a step.", buckets=_BATCH_BUCKETS)
        self._padding = declare.histogram(
            "gateway_engine_padding_ratio",
            "Share of the batches' key-value caches that holds no token of a row, after a step.",
            buckets=_PADDING_BUCKETS,
        )
        self._prefix_requests = declare.counter(
            "gateway_prefix_cache_requests",
            "Requests of whose prompts a part was found (hit), and others (miss).",
            closed("result", ["hit", "miss"]),
        )
        self._prefix_tokens = declare.counter(
            "gateway_prefix_cache_tokens", "Prompt tokens that were not computed again."
        )
        self._prefix_evictions = declare.counter(
            "gateway_prefix_cache_evictions", "Runs of tokens dropped to make room."
        )

    def _declare_memory(self, declare: Declarations) -> None:
        self._memory = declare.gauge(
            "gateway_engine_memory_bytes",
            "Active, cache and peak as MLX counts them, the footprint as the system does, predicted from the files.",
            _ROLE,
            closed("kind", ["active", "cache", "peak", "footprint", "predicted"]),
        )
        self._budget = declare.gauge(
            "gateway_memory_budget_bytes",
            "The machine's memory as engines share it: the limit, what of it is reserved, planned for engines and "
            "requests, and used by them; and what the system could give now.",
            closed("kind", ["limit", "reserve", "planned", "used", "available"]),
        )
        self._near_limit = declare.gauge(
            "gateway_memory_near_limit", "1 where the engines use more than 90 % of the recommended working set."
        )
        self._prefix_bytes = declare.gauge(
            "gateway_prefix_cache_bytes", "Held by all engines.", closed("tier", ["memory", "disk"])
        )

    def stepped(self, step: Step, *, before: PrefixCacheCounts) -> None:
        """Observe what one message of an engine says that its steps did; `before` is what the last one counted."""
        self._steps.inc(step.steps)
        self._batch.observe(step.rows)
        self._padding.observe(step.padding_ratio)
        counts = step.prefix_cache
        if counts.hits + counts.misses < before.hits + before.misses:
            before = PrefixCacheCounts()  # an engine that met an error counts anew
        if counts != before:
            self._prefix_requests.labels("hit").inc(_growth(counts.hits, before.hits))
            self._prefix_requests.labels("miss").inc(_growth(counts.misses, before.misses))
            self._prefix_tokens.inc(_growth(counts.hit_tokens, before.hit_tokens))
            self._prefix_evictions.inc(_growth(counts.evictions, before.evictions))

    def failed(self, *, role: Role, reason: FailureReason, restarts: bool) -> None:
        """Count a process that failed; `restarts` says that another takes its place."""
        self._failures.labels(role.value, reason.value).inc()
        if restarts:
            self._restarts.labels(role.value).inc()

    def memory_observed(
        self, budget: MemoryStatus, *, prefix_cache_held_bytes: int = 0, prefix_cache_stored_bytes: int = 0
    ) -> None:
        """Show how full the machine is, and what prefix caches hold."""
        for kind, size_bytes in {
            "limit": budget.limit_bytes,
            "reserve": budget.reserve_bytes,
            "planned": budget.planned_bytes,
            "used": budget.used_bytes,
            "available": budget.available_bytes,
        }.items():
            self._budget.labels(kind).set(size_bytes)
        self._near_limit.set(int(budget.near_limit))
        self._prefix_bytes.labels("memory").set(prefix_cache_held_bytes)
        self._prefix_bytes.labels("disk").set(prefix_cache_stored_bytes)

    def observed(self, engines: Iterable[tuple[Role, EngineView]], *, on_demand: bool = False) -> None:
        """Set the engine gauges from all engines as they are now; several of one role are added up.

        The incumbent's are always there: that no engine serves is what an alert looks for. With `on_demand`, one that
        is not loaded because nobody used it counts as ready.
        """
        by_role: dict[Role, list[EngineView]] = {Role.INCUMBENT: [], Role.CANDIDATE: []}
        for role, engine in engines:
            by_role[role].append(engine)
        for gauge in (self._memory, self._up, self._load, self._breaker):
            gauge.clear()
        for role, views in by_role.items():
            if views or role is Role.INCUMBENT:
                self._observe_role(role, views)
        if on_demand and not by_role[Role.INCUMBENT]:
            self._up.labels(Role.INCUMBENT.value).set(1)

    def _observe_role(self, role: Role, engines: Sequence[EngineView]) -> None:
        ready = bool(engines) and all(engine.state is EngineState.READY for engine in engines)
        self._up.labels(role.value).set(int(ready))
        self._breaker.labels(role.value).set(int(any(engine.breaker is BreakerState.OPEN for engine in engines)))
        loads_s = [engine.load_time_s for engine in engines if engine.load_time_s is not None]
        if loads_s:
            self._load.labels(role.value).set(max(loads_s))
        for kind, size_bytes in {
            "active": sum(engine.memory.active_bytes for engine in engines),
            "cache": sum(engine.memory.cache_bytes for engine in engines),
            "peak": sum(engine.memory.peak_bytes for engine in engines),
            "footprint": sum(engine.memory.footprint_bytes for engine in engines),
            "predicted": sum(engine.predicted_bytes for engine in engines),
        }.items():
            self._memory.labels(role.value, kind).set(size_bytes)


def _growth(count: int, before: int) -> int:
    """Return by how much a count grew; a runner that was replaced after an error counts from 0 again."""
    return count - before if count >= before else count
