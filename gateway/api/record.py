"""What becomes of one request: its one line in the log, its metrics and the headers that name it, whatever its end."""

import asyncio
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import cast

import msgspec
import structlog
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from gateway.api.rate_headers import rate_headers
from gateway.contracts.chat import FinishReason
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Role
from gateway.contracts.scheduling import SchedulingClass
from gateway.finished_requests import FinishedRequest, FinishedRequests
from gateway.rate_limit import KeyLimiter, LimitKind
from gateway.routing import Route
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.request_id import enter_request
from gateway.telemetry.requests import CancelStage

GENERATING = frozenset(
    {
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/messages"),
    }
)
"""Routes whose requests are counted and timed."""
_ANTHROPIC = "/v1/messages"
_OF_BOTH = "/v1/models"
_ANTHROPIC_HEADER = b"anthropic-version"
"""Anthropic's clients send it with every request, and no others do."""
HTTP_OK = 200
HTTP_BAD_REQUEST = 400
CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that left before its answer, or would not read it; nothing is sent with it."""

_UNLOGGED = frozenset(
    {
        *("/health", "/ready", "/metrics"),
        *("/console/overview", "/console/recent", "/console/assets/{version}/{path}"),
    }
)
"""Probes, scrapes and the parts of an open page come every few seconds and say nothing of the service."""
_PROGRESS = "/admin/progress"
"""Likewise what canary says of a run, unless it is refused."""
_PATH_LIMIT = 100
"""Characters of an unknown route's path that its line repeats."""
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_STATE_KEY = "request_record"

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class RequestRecord:
    """Filled on the way by those who learn something; never with a text of the client's or of the model's."""

    request_id: str
    send_body: Send | None = None
    """The server's own, for the messages of a body: Litestar's wrappers look only at how an answer begins."""
    started_s: float = field(default_factory=time.perf_counter)
    status: int | None = None
    code: ErrorCode | None = None
    disconnected: bool = False
    stalled: bool = False
    """The client did not read its stream, and it was cut off."""
    # Of a request with a key.
    key: str | None = None
    """The key's name."""
    limiter: KeyLimiter | None = None
    """Of a generating request whose key has limits."""
    admitted: bool = False
    """Whether the limiter has counted it in, and not out again."""
    over_limit: LimitKind | None = None
    """What it was refused for."""
    # Of a request that an engine answers, as far as it came.
    completion_id: str | None = None
    model: str | None = None
    variant: str | None = None
    role: Role | None = None
    scheduling_class: SchedulingClass | None = None
    answered: bool = False
    """Whether its variant is known for good: before it has a row, the incumbent may change."""
    stream: bool | None = None
    prompt_tokens: int | None = None
    """Known once it has a row."""
    cached_tokens: int | None = None
    """Of them, those that were not computed again."""
    completion_tokens: int | None = None
    finish_reason: FinishReason | None = None
    time_to_first_token_s: float | None = None

    @property
    def age_s(self) -> float:
        return time.perf_counter() - self.started_s

    def end_admission(self) -> None:
        """Count it out of its key's limits, once, with what it has taken."""
        if self.limiter is not None and self.admitted:
            self.admitted = False
            tokens = (self.prompt_tokens or 0) + (self.completion_tokens or 0)
            self.limiter.end(time.monotonic(), tokens=tokens, duration_s=self.age_s)

    def routed(self, route: Route) -> None:
        self.model = route.model
        self.variant = route.variant.reference
        self.role = route.role
        self.scheduling_class = route.scheduling_class
        self.answered = self.answered or route.pinned

    def token_came(self) -> None:
        """Note when the first one was there."""
        if self.time_to_first_token_s is None:
            self.time_to_first_token_s = self.age_s


def record_of(scope: Scope) -> RequestRecord:
    """Return the request's record; the first to ask makes it."""
    state = cast("dict[str, dict[str, object]]", scope).setdefault("state", {})
    record = state.get(_STATE_KEY)
    if not isinstance(record, RequestRecord):
        record = state[_STATE_KEY] = RequestRecord(request_id=_request_id(scope))
    return record


def is_anthropic(path: str) -> bool:
    """Say whether this is where Anthropic's clients call, who name keys, errors and requests in their own way."""
    return _is_below(path, _ANTHROPIC)


def speaks_anthropic(scope: Scope) -> bool:
    """Say whether a request is one of theirs: by its path, or by its header where OpenAI's clients call too."""
    path = cast("HTTPScope", scope)["path"]
    return is_anthropic(path) or (
        _is_below(path, _OF_BOTH) and any(name == _ANTHROPIC_HEADER for name, _ in scope["headers"])
    )


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")


async def name_response(message: Message, scope: Scope) -> None:
    """Put on every response, before it is sent, whose it is, what answered and how long that took."""
    if message["type"] != "http.response.start":
        return
    record = record_of(scope)
    record.status = message["status"]
    headers = [
        (b"x-request-id", record.request_id.encode()),
        (b"openai-processing-ms", str(round(record.age_s * 1000)).encode()),
    ]
    if speaks_anthropic(scope):
        headers.append((b"request-id", record.request_id.encode()))
    # A stream that is opened while it waits has the status before it is known who answers; its chunks say that.
    if record.variant is not None and (record.answered or record.status != HTTP_OK):
        headers.append((b"x-gateway-variant", record.variant.encode()))
    if record.limiter is not None:
        headers += rate_headers(record.limiter.standings(time.monotonic()))
    message["headers"] = [*message["headers"], *headers]


def recording(app: ASGIApp, metrics: Metrics, finished: FinishedRequests) -> ASGIApp:
    """Return the app with its requests recorded when they end: answered, failed, left or cancelled."""

    async def recorded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        record = record_of(scope)
        record.send_body = send
        enter_request(record.request_id)
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            # The server gave up on the drain.
            record.code = ErrorCode.SHUTTING_DOWN
            raise
        finally:
            _close(record, scope, metrics, finished)

    return recorded


def _close(record: RequestRecord, scope: Scope, metrics: Metrics, finished: FinishedRequests) -> None:
    record.end_admission()
    if record.over_limit is not None:
        metrics.requests.key_limited(record.over_limit)
    duration_s = record.age_s
    status = CLIENT_CLOSED_REQUEST if record.disconnected or record.stalled else record.status or 500
    path = _path(scope)
    method = cast("HTTPScope", scope)["method"]
    if (method, path) in GENERATING:
        _count(record, status, duration_s, metrics)
    if path in _UNLOGGED or (path == _PROGRESS and status < HTTP_BAD_REQUEST):
        return
    facts = FinishedRequest(
        request_id=record.request_id,
        finished_at_s=time.time(),
        method=method,
        path=path,
        completion_id=record.completion_id,
        model=record.model,
        variant=record.variant,
        role=record.role,
        status=status,
        code=_code(record),
        stream=record.stream,
        prompt_tokens=record.prompt_tokens,
        completion_tokens=record.completion_tokens,
        finish_reason=record.finish_reason,
        time_to_first_token_s=record.time_to_first_token_s,
        duration_s=round(duration_s, 6),
    )
    finished.add(facts)
    line = {**msgspec.structs.asdict(facts), "key": record.key}
    del line["finished_at_s"]  # the line has a time of its own
    _log.info("request_finished", **{name: fact for name, fact in line.items() if fact is not None})


def _count(record: RequestRecord, status: int, duration_s: float, metrics: Metrics) -> None:
    metrics.requests.finished(
        model=record.model,
        role=record.role,
        scheduling_class=record.scheduling_class,
        status=status,
        duration_s=duration_s,
        request_id=record.request_id,
        time_to_first_token_s=record.time_to_first_token_s,
    )
    metrics.requests.tokens_counted(
        model=record.model,
        role=record.role,
        scheduling_class=record.scheduling_class,
        prompt=record.prompt_tokens or 0,
        cached=record.cached_tokens or 0,
        completion=record.completion_tokens or 0,
    )
    if status == CLIENT_CLOSED_REQUEST:
        metrics.requests.cancelled(_stage(record))


def _stage(record: RequestRecord) -> CancelStage:
    if record.time_to_first_token_s is not None:
        return CancelStage.DECODE
    return CancelStage.QUEUED if record.prompt_tokens is None else CancelStage.PREFILL


def _code(record: RequestRecord) -> str | None:
    if record.disconnected:
        return "client_disconnected"
    return "client_stalled" if record.stalled else record.code


def _path(scope: Scope) -> str:
    """Return the route's path, its parameters as names; of a request that no route takes, what it asked for."""
    known = cast("dict[str, str]", scope)
    return known.get("path_template") or known["path"][:_PATH_LIMIT]


def _request_id(scope: Scope) -> str:
    """Take the client's id where it is 1 to 128 visible ASCII characters, else make one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode()
    return uuid.uuid4().hex
