"""Speak to the gateway over HTTP: its admin routes, and the public chat endpoint that every trial goes through."""

import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from threading import Event
from types import TracebackType
from typing import Self, TypeVar

import httpx
import msgspec
import stamina

from canary.errors import GatewayRefused, GatewayUnavailable, UsageError
from canary.stream import StreamBroken, StreamRefused, read_completion
from gateway.contracts.admin import (
    ArchiveView,
    EngineView,
    EvaluationSummary,
    LoadRequest,
    LoanRequest,
    LoanView,
    PromotionRequest,
    PromotionView,
    RegisterVariant,
    VariantView,
)
from gateway.contracts.builds import BuildRequest, BuildView
from gateway.contracts.chat import ChatRequest, ErrorBody, ErrorObject
from gateway.contracts.deployments import Deployment, Promotion
from gateway.contracts.digests import parse_reference
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Completion, ErrorCause, Evaluation, TrialError
from gateway.contracts.host import Host
from gateway.contracts.progress import RunProgress
from gateway.contracts.scoring import ScoreRequest, ScoreView
from gateway.contracts.status import StatusView
from gateway.contracts.tokens import TokenizeRequest, TokenizeView
from gateway.contracts.variants import Variant

T = TypeVar("T")

VARIANT_HEADER = "x-gateway-variant"
PREFIX_CACHE_HEADER = "x-gateway-prefix-cache"

CONNECT_LIMIT_S = 5.0
ADMIN_LIMIT_S = 1800.0
"""Registering hashes every byte of a model, and loading reads it: minutes for a large one."""
PROGRESS_LIMIT_S = 5.0
TOKEN_LIMIT_S = 300.0
"""Between two events of a stream; the first waits for the queue and the whole prompt."""
TRIAL_LIMIT_S = 1800.0
ATTEMPTS = 5
RETRY_AFTER_LIMIT_S = 30.0
"""A gateway that asks for more patience than this gets no further attempt for the trial."""

CANDIDATE_CODES = frozenset(
    {
        ErrorCode.CONTEXT_LENGTH_EXCEEDED,
        ErrorCode.ENGINE_CRASHED,
        ErrorCode.ENGINE_FAILING,
        ErrorCode.ENGINE_FAULT,
        ErrorCode.ENGINE_START_FAILED,
        ErrorCode.REQUEST_CRASHES_ENGINE,
    }
)
"""Errors that the pinned variant brings about: its context is too short, or its engine fails with the request."""

_RETRIED_STATUSES = frozenset({429, 502, 503, 504})
_KEY_STATUSES = frozenset({401, 403})


class GaveUp(Exception):
    """Whoever asked for a trial wants it no more."""


class _AttemptFailed(Exception):
    """One attempt at a trial failed; `again` says whether, or after how many seconds, to try once more."""

    def __init__(self, code: str, message: str, *, again: bool | float) -> None:
        super().__init__(message)
        cause = ErrorCause.CANDIDATE if code in CANDIDATE_CODES else ErrorCause.INFRASTRUCTURE
        self.trial_error = TrialError(code=code, message=message, cause=cause)
        self.again = False if cause is ErrorCause.CANDIDATE else again


def _again(error: Exception) -> bool | float:
    if isinstance(error, _AttemptFailed):
        return error.again
    return isinstance(error, httpx.ConnectError)


class GatewayClient:
    """One connection pool to one gateway; use as a context manager.

    Every method raises GatewayUnavailable where nothing answers or the key is refused, and GatewayRefused where the
    gateway says no.
    """

    def __init__(self, url: str, *, api_key: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise UsageError(f"the gateway's address {url!r} must start with http:// or https://")
        # A proxy named in the environment gets no prompts to see: the gateway is addressed directly.
        self._http = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {api_key}"} if api_key else {},
            transport=transport,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def deployments(self) -> tuple[Deployment, ...]:
        return self._get("/admin/deployments", tuple[Deployment, ...])

    def deployment(self, model: str) -> Deployment:
        return self._get(f"/admin/deployments/{_quoted(model)}", Deployment)

    def register(self, source: str) -> VariantView:
        return self._post("/admin/variants", RegisterVariant(source=source), VariantView)

    def variant(self, reference: str) -> VariantView:
        return self._get(f"/admin/variants/{_quoted(reference)}", VariantView)

    def archive(self, reference: str, *, dry_run: bool) -> ArchiveView:
        """Have a variant's files removed, or be told which would go."""
        query = {"dry_run": "true" if dry_run else "false"}
        return self._decoded(self._send("DELETE", f"/admin/variants/{_quoted(reference)}", query=query), ArchiveView)

    def variants(self) -> tuple[VariantView, ...]:
        return self._get("/admin/variants", tuple[VariantView, ...])

    def engines(self) -> tuple[EngineView, ...]:
        return self._get("/admin/engines", tuple[EngineView, ...])

    def status(self) -> StatusView:
        return self._get("/admin/status", StatusView)

    def host(self) -> Host:
        """Describe the machine that the engines run on, as it is now."""
        return self._get("/admin/host", Host)

    def load_engine(self, reference: str) -> EngineView:
        """Load what a variant needs and return when it is ready; at once where it is."""
        return self._post("/admin/engines", LoadRequest(variant=reference), EngineView)

    def unload_engine(self, reference: str) -> None:
        self._answered(self._send("DELETE", f"/admin/engines/{_quoted(reference)}"))

    def borrow(self, request: LoanRequest) -> LoanView:
        """Have the candidate's engine loaded in the incumbent's place, and return when it is ready."""
        return self._post("/admin/loans", request, LoanView)

    def give_back(self) -> None:
        """End the loan, if there is one, and return when the incumbent serves again."""
        self._answered(self._send("DELETE", "/admin/loans"))

    def score(self, request: ScoreRequest) -> ScoreView:
        return self._post("/admin/score", request, ScoreView)

    def tokenize(self, request: TokenizeRequest, variant: Variant) -> TokenizeView:
        """Have the request rendered and tokenised by `variant`."""
        return self._post("/tokenize", request, TokenizeView, headers={VARIANT_HEADER: variant.reference})

    def start_build(self, request: BuildRequest) -> BuildView:
        return self._post("/admin/builds", request, BuildView)

    def builds(self) -> tuple[BuildView, ...]:
        return self._get("/admin/builds", tuple[BuildView, ...])

    def build(self, build_id: str) -> BuildView:
        return self._get(f"/admin/builds/{_quoted(build_id)}", BuildView)

    def cancel_build(self, build_id: str) -> BuildView:
        return self._decoded(self._send("DELETE", f"/admin/builds/{_quoted(build_id)}"), BuildView)

    def post_progress(self, progress: RunProgress) -> None:
        """Say how far a run is; without much patience, for nothing depends on it."""
        self._answered(self._send("POST", "/admin/progress", body=progress, limit_s=PROGRESS_LIMIT_S))

    def record(self, evaluation: Evaluation) -> EvaluationSummary:
        return self._post("/admin/evaluations", evaluation, EvaluationSummary)

    def evaluation(self, evaluation_id: str) -> Evaluation:
        return self._get(f"/admin/evaluations/{_quoted(evaluation_id)}", Evaluation)

    def evaluations(self) -> tuple[EvaluationSummary, ...]:
        return self._get("/admin/evaluations", tuple[EvaluationSummary, ...])

    def promote(self, request: PromotionRequest) -> PromotionView:
        return self._post("/admin/promotions", request, PromotionView)

    def promotions(self, model: str) -> tuple[Promotion, ...]:
        return self._get("/admin/promotions", tuple[Promotion, ...], model=model)

    def complete(
        self, request: ChatRequest, variant: Variant, *, prefix_cache: bool = False, given_up: Event | None = None
    ) -> Completion | TrialError:
        """Run one trial: a streamed chat request that is pinned to `variant`.

        Without `prefix_cache` it neither takes nor leaves KV, so that a prompt costs the same whoever had it before.
        What the infrastructure does wrong is tried again, up to `ATTEMPTS` times; an error of the variant is a result.
        Raises GaveUp with the next event of the stream where `given_up` is set.
        """
        headers = {
            VARIANT_HEADER: variant.reference,
            PREFIX_CACHE_HEADER: "on" if prefix_cache else "off",
            "content-type": "application/json",
        }
        try:
            for attempt in stamina.retry_context(on=_again, attempts=ATTEMPTS, timeout=None, wait_initial=0.5):
                with attempt:
                    return self._attempt(request, headers, variant, given_up)
        except _AttemptFailed as error:
            return error.trial_error
        except httpx.ConnectError as error:
            raise self._unavailable() from error
        raise AssertionError("stamina either returns, or raises the last error")

    def _attempt(
        self, request: ChatRequest, headers: dict[str, str], variant: Variant, given_up: Event | None
    ) -> Completion:
        body = msgspec.json.encode(request)
        timeout = httpx.Timeout(TOKEN_LIMIT_S, connect=CONNECT_LIMIT_S)
        started_s = time.perf_counter()
        try:
            with self._http.stream(
                "POST", "/v1/chat/completions", content=body, headers=headers, timeout=timeout
            ) as response:
                if response.is_error:
                    response.read()
                    raise self._attempt_failed(response)
                self._check_answered_by(response, variant)
                lines = _until(given_up, response.iter_lines()) if given_up is not None else response.iter_lines()
                return read_completion(lines, started_s=started_s, clock=time.perf_counter, limit_s=TRIAL_LIMIT_S)
        except StreamRefused as error:
            code = error.error.code
            raise _AttemptFailed(code, error.error.message, again=code != ErrorCode.INTERNAL_ERROR) from error
        except StreamBroken as error:
            raise _AttemptFailed("stream_broken", str(error), again=True) from error
        except httpx.ReadTimeout as error:
            raise _AttemptFailed("timeout", f"no token for {TOKEN_LIMIT_S:.0f} s", again=False) from error
        except httpx.ConnectError:
            raise
        except httpx.TransportError as error:
            raise _AttemptFailed("connection_lost", str(error) or type(error).__name__, again=True) from error

    def _attempt_failed(self, response: httpx.Response) -> Exception:
        error = _error_of(response)
        if response.status_code in _KEY_STATUSES:
            return self._key_refused(error)
        again: bool | float = response.status_code in _RETRIED_STATUSES
        retry_after = response.headers.get("retry-after", "")
        if again and retry_after.isdecimal():
            seconds = float(retry_after)
            again = seconds if seconds <= RETRY_AFTER_LIMIT_S else False
        return _AttemptFailed(error.code, error.message, again=again)

    def _check_answered_by(self, response: httpx.Response, variant: Variant) -> None:
        answered_by = response.headers.get(VARIANT_HEADER, "")
        reference = parse_reference(answered_by)
        if reference is None or not variant.digest.startswith(reference[1]):
            raise GatewayRefused(
                f"{self.url} answered a request for {variant.reference} with "
                f"{answered_by or 'no variant at all'}: is it this version's gateway?",
                code="wrong_variant",
                status=response.status_code,
            )

    def _get(self, path: str, kind: type[T], **query: str) -> T:
        return self._decoded(self._send("GET", path, query=query), kind)

    def _post(self, path: str, body: msgspec.Struct, kind: type[T], *, headers: Mapping[str, str] | None = None) -> T:
        return self._decoded(self._send("POST", path, body=body, headers=headers), kind)

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: msgspec.Struct | None = None,
        query: dict[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit_s: float = ADMIN_LIMIT_S,
    ) -> httpx.Response:
        kind = {} if body is None else {"content-type": "application/json"}
        try:
            return self._http.request(
                method,
                path,
                content=None if body is None else msgspec.json.encode(body),
                headers={**kind, **(headers or {})},
                params=query,
                timeout=httpx.Timeout(limit_s, connect=CONNECT_LIMIT_S),
            )
        except httpx.ReadTimeout as error:
            raise GatewayUnavailable(f"{self.url}{path} gave no answer in {limit_s:.0f} s") from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._unavailable() from error

    def _answered(self, response: httpx.Response) -> httpx.Response:
        if response.status_code in _KEY_STATUSES:
            raise self._key_refused(_error_of(response))
        if response.is_error:
            error = _error_of(response)
            raise GatewayRefused(error.message, code=error.code, status=response.status_code)
        return response

    def _decoded(self, response: httpx.Response, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(self._answered(response).content, type=kind)
        except msgspec.DecodeError as error:
            raise GatewayUnavailable(
                f"{self.url} gave an answer that cannot be read ({error}): is it this version's gateway?"
            ) from error

    def _unavailable(self) -> GatewayUnavailable:
        return GatewayUnavailable(f"no gateway answers at {self.url}; start one with `gateway serve`, or name another")

    def _key_refused(self, error: ErrorObject) -> GatewayUnavailable:
        return GatewayUnavailable(f"{self.url} refuses the key: {error.message} (set GATEWAY_API_KEY)")


def _until(given_up: Event, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if given_up.is_set():
            raise GaveUp
        yield line


def _quoted(part: str) -> str:
    return urllib.parse.quote(part, safe="@")


def _error_of(response: httpx.Response) -> ErrorObject:
    """Return the error of a body in OpenAI's shape, or one made of the status where the body has another."""
    try:
        return msgspec.json.decode(response.content, type=ErrorBody).error
    except msgspec.DecodeError:
        message = f"HTTP status {response.status_code} without an explanation"
        return ErrorObject(message=message, type="unknown", param=None, code=f"http_{response.status_code}")
