"""What becomes of generating requests: how many, how long, of how many tokens."""

import enum
import re

from gateway.contracts.evaluations import Role
from gateway.contracts.scheduling import SchedulingClass
from gateway.rate_limit import LimitKind
from gateway.telemetry.declarations import Declarations, closed, described
from gateway.telemetry.names import BoundedNames
from gateway.telemetry.token_times import TokenTimes

# OpenTelemetry's buckets for GenAI servers. A long prompt on a Mac fills for more than 10 s: the last three are ours.
DURATION_BUCKETS_S = tuple(0.01 * 2**doubling for doubling in range(14))
TIME_TO_FIRST_TOKEN_BUCKETS_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(20.0, 40.0, 80.0),
)
TIME_PER_OUTPUT_TOKEN_BUCKETS_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
INTER_TOKEN_BUCKETS_S = (0.001, 0.0025, 0.005, *TIME_PER_OUTPUT_TOKEN_BUCKETS_S, 5.0, 10.0)
"""A small model's steps are shorter than 10 ms, and one gap of a swap is longer than any mean."""

_UNROUTED = "none"
MODEL = described("model", "a Deployment's public name; `other` also of requests that named none that there is")
_ROLE = closed("role", [*Role, _UNROUTED])
_CLASS = closed("class", [*SchedulingClass, _UNROUTED])
"""An evaluation tries the incumbent too: by its class, and not by the role, a trial is told from what clients ask."""
_STATUS = described("status", "an HTTP status; 499 where the client left or did not read")

_EXEMPLAR_ID = re.compile(r"[A-Za-z0-9._:-]{1,118}")
"""Ids of ours, and clients' that are as plain. OpenMetrics allows an exemplar 128 characters; the label has 10."""


class CancelStage(enum.StrEnum):
    """How far a request had come when its client left, or was given up because it did not read."""

    QUEUED = "queued"
    """It held no row."""
    PREFILL = "prefill"
    """It held one and had no token."""
    DECODE = "decode"


class RequestMetrics:
    def __init__(self, declare: Declarations, models: BoundedNames) -> None:
        self._models = models
        self._requests = declare.counter(
            "gateway_requests", "Requests that got their terminal answer.", *(MODEL, _ROLE, _CLASS, _STATUS)
        )
        self._duration = declare.histogram(
            "gateway_request_duration_seconds",
            "From the request's arrival to its last byte.",
            *(MODEL, _ROLE, _CLASS),
            buckets=DURATION_BUCKETS_S,
        )
        self._time_to_first_token = declare.histogram(
            "gateway_time_to_first_token_seconds",
            "From the request's arrival to its first token: queue and prompt.",
            *(MODEL, _ROLE, _CLASS),
            buckets=TIME_TO_FIRST_TOKEN_BUCKETS_S,
        )
        self._time_per_output_token = declare.histogram(
            "gateway_time_per_output_token_seconds",
            "Of each finished answer, the time after its first token over the number of tokens after it.",
            *(MODEL, _ROLE, _CLASS),
            buckets=TIME_PER_OUTPUT_TOKEN_BUCKETS_S,
        )
        self._inter_token = declare.quick_histogram(
            "gateway_inter_token_seconds",
            "Between two messages of an engine that bring tokens of one answer, however slowly its client reads.",
            *(MODEL, _ROLE, _CLASS),
            buckets=INTER_TOKEN_BUCKETS_S,
        )
        self._tokens = declare.counter(
            "gateway_tokens",
            "Tokens read and generated; cached are those of the prompts that were not computed again.",
            *(MODEL, _ROLE, _CLASS),
            closed("type", ["prompt", "cached", "completion"]),
        )
        self._cancelled = declare.counter(
            "gateway_requests_cancelled",
            "Requests whose client left before the end, or did not read, by how far they had come.",
            closed("stage", CancelStage),
        )
        self._key_limited = declare.counter(
            "gateway_requests_over_key_limit",
            "Requests refused because their key had reached a limit of its own.",
            closed("limit", LimitKind),
        )

    def finished(
        self,
        *,
        model: str | None,
        role: Role | None,
        scheduling_class: SchedulingClass | None,
        status: int,
        duration_s: float,
        request_id: str | None = None,
        time_to_first_token_s: float | None = None,
    ) -> None:
        """Count a request that got its terminal answer. Model, role and class are None where it was not routed.

        By its id the slowest requests of a dashboard are found in the log.
        """
        labels = self._labels(model, role, scheduling_class)
        exemplar = None
        if request_id is not None and _EXEMPLAR_ID.fullmatch(request_id):
            exemplar = {"request_id": request_id}
        self._requests.labels(*labels, str(status)).inc()
        self._duration.labels(*labels).observe(duration_s, exemplar)
        if time_to_first_token_s is not None:
            self._time_to_first_token.labels(*labels).observe(time_to_first_token_s, exemplar)

    def tokens_counted(
        self,
        *,
        model: str | None,
        role: Role | None,
        scheduling_class: SchedulingClass | None,
        prompt: int = 0,
        cached: int = 0,
        completion: int = 0,
    ) -> None:
        """Add the tokens of one request; those cached are among those of the prompt."""
        labels = self._labels(model, role, scheduling_class)
        self._tokens.labels(*labels, "prompt").inc(prompt)
        self._tokens.labels(*labels, "cached").inc(cached)
        self._tokens.labels(*labels, "completion").inc(completion)

    def cancelled(self, stage: CancelStage) -> None:
        self._cancelled.labels(stage.value).inc()

    def key_limited(self, kind: LimitKind) -> None:
        self._key_limited.labels(kind.value).inc()

    def token_times(self, *, model: str, role: Role, scheduling_class: SchedulingClass) -> TokenTimes:
        """Return what is to be told of each of an answer's tokens."""
        labels = self._labels(model, role, scheduling_class)
        return TokenTimes(self._inter_token.labels(*labels), self._time_per_output_token.labels(*labels))

    def _labels(
        self, model: str | None, role: Role | None, scheduling_class: SchedulingClass | None
    ) -> tuple[str, str, str]:
        return (
            self._models.find(model),
            role.value if role is not None else _UNROUTED,
            scheduling_class.value if scheduling_class is not None else _UNROUTED,
        )
