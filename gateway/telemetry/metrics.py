"""Every metric of the gateway, declared once. Nobody else touches prometheus_client: methods say what happened.

Label values come from closed sets, so that no client can grow the number of series; a digest stands on
`gateway_incumbent_info` alone.
"""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from gateway.contracts.admin import BreakerState, EngineState, EngineView, FailureReason, PrefixCacheCounts, SwapWay
from gateway.contracts.deployments import Promotion
from gateway.contracts.evaluations import Evaluation, Level, Metric, Role
from gateway.contracts.scheduling import RefusalReason, SchedulingClass
from gateway.rate_limit import LimitKind
from gateway.wire import Step

# OpenTelemetry's buckets for GenAI servers. A long prompt on a Mac fills for more than 10 s: the last three are ours.
_DURATION_BUCKETS_S = tuple(0.01 * 2**doubling for doubling in range(14))
_TIME_TO_FIRST_TOKEN_BUCKETS_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(20.0, 40.0, 80.0),
)
_PADDING_BUCKETS = tuple(tenths / 10 for tenths in range(1, 10))
_GAP_BUCKETS_S = (0.0, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
_OTHER = "other"
_NONE = "none"
_SUITES_LIMIT = 32

# A second series with the time of birth for every counter and histogram; Prometheus knows it from the first scrape.
disable_created_metrics()


class Metrics:
    """The metrics of one gateway, on a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._models: set[str] = set()
        self._suites: set[str] = set()
        self._incumbents: dict[str, tuple[str, str]] = {}
        self._declare_requests()
        self._declare_engines()
        self._declare_prefix_caches()
        self._declare_judging()

    def _declare_requests(self) -> None:
        self._requests = self._counter("gateway_requests", "Requests that got their terminal answer.", "status")
        self._duration = self._histogram(
            "gateway_request_duration_seconds", "From the request's arrival to its last byte.", _DURATION_BUCKETS_S
        )
        self._time_to_first_token = self._histogram(
            "gateway_time_to_first_token_seconds",
            "From the request's arrival to its first token: queue and prompt.",
            _TIME_TO_FIRST_TOKEN_BUCKETS_S,
        )
        self._tokens = self._counter("gateway_tokens", "Tokens read and generated.", "type")
        self._running = self._gauge("gateway_requests_running", "Requests that hold a row of an engine.")
        self._queued = self._gauge("gateway_requests_queued", "Requests that wait for a row.", ("class",))
        self._wait = Histogram(
            "gateway_queue_wait_seconds",
            "From a request's coming to its row: measuring it, and waiting its turn.",
            ("class",),
            buckets=_TIME_TO_FIRST_TOKEN_BUCKETS_S,
            registry=self._registry,
        )
        self._refusals = Counter(
            "gateway_requests_refused",
            "Requests that got no row: the line was full, they waited too long, or they can never fit.",
            ("class", "reason"),
            registry=self._registry,
        )
        self._key_limited = Counter(
            "gateway_requests_over_key_limit",
            "Requests refused because their key had reached a limit of its own.",
            ("limit",),
            registry=self._registry,
        )
        self._again = Counter(
            "gateway_requests_run_again",
            "Requests that began anew because the engine failed before their clients had been sent anything.",
            ("class",),
            registry=self._registry,
        )

    def _declare_engines(self) -> None:
        self._memory = self._gauge(
            "gateway_engine_memory_bytes",
            "Active, cache and peak as MLX counts them, the footprint as the system does, predicted from the files.",
            ("role", "kind"),
        )
        self._up = self._gauge("gateway_engine_up", "1 where every engine of the role is ready.", ("role",))
        self._load = self._gauge("gateway_engine_load_seconds", "Of the role's slowest load.", ("role",))
        self._failures = Counter(
            "gateway_engine_failures",
            "Processes of engines that failed; all but one that was never ready are started again.",
            ("role", "reason"),
            registry=self._registry,
        )
        self._breaker = self._gauge(
            "gateway_engine_breaker_open",
            "1 where an engine of the role failed again and again, and its requests are refused for a while.",
            ("role",),
        )
        self._batch = Histogram(
            "gateway_engine_batch_rows",
            "Rows held after a step.",
            buckets=_BATCH_BUCKETS,
            registry=self._registry,
        )
        self._padding = Histogram(
            "gateway_engine_padding_ratio",
            "Share of the batches' key-value caches that holds no token of a row, after a step.",
            buckets=_PADDING_BUCKETS,
            registry=self._registry,
        )
        self._steps = Counter("gateway_engine_steps", "Steps of all engines.", registry=self._registry)
        self._near_limit = self._gauge(
            "gateway_memory_near_limit", "1 where the engines use more than 90 % of the recommended working set."
        )
        self._incumbent = self._gauge(
            "gateway_incumbent_info", "1 for the variant that answers for a model.", ("model", "variant", "digest")
        )

    def _declare_prefix_caches(self) -> None:
        self._prefix_requests = Counter(
            "gateway_prefix_cache_requests",
            "Requests of whose prompts a part was found (hit), and others (miss).",
            ("result",),
            registry=self._registry,
        )
        self._prefix_tokens = Counter(
            "gateway_prefix_cache_tokens", "Prompt tokens that were not computed again.", registry=self._registry
        )
        self._prefix_evictions = Counter(
            "gateway_prefix_cache_evictions", "Runs of tokens dropped to make room.", registry=self._registry
        )
        self._prefix_bytes = self._gauge("gateway_prefix_cache_bytes", "Held by all engines.", ("tier",))

    def _declare_judging(self) -> None:
        self._evaluations = Counter(
            "canary_evaluations",
            "Candidates judged in recorded evaluations.",
            ("model", "suite", "outcome"),
            registry=self._registry,
        )
        self._accuracy = self._gauge(
            "canary_accuracy_ratio", "Of the last recorded evaluation's last candidate.", ("model", "suite", "role")
        )
        self._promotions = Counter(
            "gateway_promotions",
            "Changes of an incumbent, done and failed.",
            ("model", "kind", "outcome"),
            registry=self._registry,
        )
        self._swaps = Counter(
            "gateway_swaps",
            "Exchanges of a serving engine, by how they ended: done, or the error's code.",
            ("model", "way", "outcome"),
            registry=self._registry,
        )
        self._swap_gap = Histogram(
            "gateway_swap_gap_seconds",
            "For so long a swap left a model without an engine that takes requests; 0 where both engines fit.",
            ("model", "way"),
            buckets=_GAP_BUCKETS_S,
            registry=self._registry,
        )

    def request_finished(
        self,
        *,
        model: str | None,
        role: Role | None,
        status: int,
        duration_s: float,
        time_to_first_token_s: float | None = None,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
    ) -> None:
        """Count a request that got its terminal answer. Model and role are None where it was not routed."""
        labels = (self._model(model), role.value if role is not None else _NONE)
        self._requests.labels(*labels, str(status)).inc()
        self._duration.labels(*labels).observe(duration_s)
        if time_to_first_token_s is not None:
            self._time_to_first_token.labels(*labels).observe(time_to_first_token_s)
        self._tokens.labels(*labels, "prompt").inc(prompt_tokens)
        self._tokens.labels(*labels, "completion").inc(completion_tokens)

    def requests_changed(self, *, running: int, queued: Mapping[SchedulingClass, int]) -> None:
        """Requests that hold a row of an engine now, and those that wait for one."""
        self._running.set(running)
        for scheduling_class, count in queued.items():
            self._queued.labels(scheduling_class.value).set(count)

    def request_admitted(self, scheduling_class: SchedulingClass, *, wait_s: float) -> None:
        """Observe how long a request waited that holds a row now."""
        self._wait.labels(scheduling_class.value).observe(wait_s)

    def request_refused(self, scheduling_class: SchedulingClass, reason: RefusalReason) -> None:
        self._refusals.labels(scheduling_class.value, reason.value).inc()

    def key_limited(self, kind: LimitKind) -> None:
        self._key_limited.labels(kind.value).inc()

    def request_runs_again(self, scheduling_class: SchedulingClass) -> None:
        """Count a request whose engine crashed under it, and which begins anew."""
        self._again.labels(scheduling_class.value).inc()

    def engine_stepped(self, step: Step, *, before: PrefixCacheCounts) -> None:
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

    def memory_observed(
        self, *, near_limit: bool, prefix_cache_held_bytes: int = 0, prefix_cache_stored_bytes: int = 0
    ) -> None:
        """Say whether the engines together are near the recommended working set, and what prefix caches hold."""
        self._near_limit.set(int(near_limit))
        self._prefix_bytes.labels("memory").set(prefix_cache_held_bytes)
        self._prefix_bytes.labels("disk").set(prefix_cache_stored_bytes)

    def engines_observed(self, engines: Iterable[tuple[Role, EngineView]], *, on_demand: bool = False) -> None:
        """Set the engine gauges from all engines as they are now; several of one role are added up.

        The incumbent's are always there: that no engine serves is what an alert looks for. With `on_demand`, one that
        is not loaded because nobody used it counts as ready.
        """
        by_role: dict[Role, list[EngineView]] = {Role.INCUMBENT: [], Role.CANDIDATE: []}
        for role, engine in engines:
            by_role[role].append(engine)
        self._memory.clear()
        self._up.clear()
        self._load.clear()
        self._breaker.clear()
        for role, views in by_role.items():
            if views or role is Role.INCUMBENT:
                self._observe_role(role, views)
        if on_demand and not by_role[Role.INCUMBENT]:
            self._up.labels(Role.INCUMBENT.value).set(1)

    def engine_failed(self, *, role: Role, reason: FailureReason) -> None:
        self._failures.labels(role.value, reason.value).inc()

    def incumbent_changed(self, *, model: str, variant: str, digest: str) -> None:
        """State who answers for a model; its earlier incumbent's series ends. From here on the model has its label."""
        if model in self._incumbents:
            self._incumbent.remove(model, *self._incumbents[model])
        self._models.add(model)
        self._incumbents[model] = (variant, digest)
        self._incumbent.labels(model, variant, digest).set(1)

    def evaluation_recorded(self, evaluation: Evaluation) -> None:
        labels = (self._model(evaluation.model), self._suite(evaluation.suite.name))
        for judgement in evaluation.judgements:
            self._evaluations.labels(*labels, judgement.verdict.outcome.value).inc()
            for comparison in judgement.comparisons:
                if comparison.metric is Metric.ACCURACY and comparison.category is None:
                    self._set_accuracy(labels, Role.CANDIDATE, comparison.candidate)
                    self._set_accuracy(labels, Role.INCUMBENT, comparison.incumbent)

    def promotion_finished(self, promotion: Promotion) -> None:
        labels = (self._model(promotion.model), promotion.kind.value, promotion.outcome.value)
        self._promotions.labels(*labels).inc()

    def swap_finished(self, *, model: str, way: SwapWay, outcome: str, gap_s: float) -> None:
        """Count a swap that ended; `outcome` is `done` or an error's code."""
        self._swaps.labels(self._model(model), way.value, outcome).inc()
        self._swap_gap.labels(self._model(model), way.value).observe(gap_s)

    def render(self) -> tuple[bytes, str]:
        """Return the exposition and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

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

    def _set_accuracy(self, labels: tuple[str, str], role: Role, level: Level) -> None:
        if level.value is not None:
            self._accuracy.labels(*labels, role.value).set(level.value)

    def _model(self, name: str | None) -> str:
        return _OTHER if name is None or name not in self._models else name

    def _suite(self, name: str) -> str:
        if len(self._suites) < _SUITES_LIMIT:
            self._suites.add(name)
        return name if name in self._suites else _OTHER

    def _counter(self, name: str, documentation: str, label: str) -> Counter:
        return Counter(name, documentation, ("model", "role", label), registry=self._registry)

    def _histogram(self, name: str, documentation: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, documentation, ("model", "role"), buckets=buckets, registry=self._registry)

    def _gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(name, documentation, labels, registry=self._registry)


def _growth(count: int, before: int) -> int:
    """Return by how much a count grew; a runner that was replaced after an error counts from 0 again."""
    return count - before if count >= before else count
