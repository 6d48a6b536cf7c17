"""A gateway in memory, behind httpx's mock transport: for the answers that a healthy gateway never gives.

What canary and a healthy gateway do together is tested against the real one, in tests/e2e.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx
import msgspec

from gateway.contracts.admin import (
    CandidateOutcome,
    EngineMemory,
    EngineState,
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
from gateway.contracts.chat import ErrorBody, ErrorObject
from gateway.contracts.deployments import Deployment, GatePolicy, Promotion, PromotionKind, PromotionOutcome
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Evaluation
from gateway.contracts.progress import RunProgress
from gateway.contracts.scoring import ScoreRequest, ScoreView, TokenScore, TopToken
from gateway.contracts.status import MemoryStatus, StatusView
from gateway.contracts.tokens import TokenizeView
from tests.support.evaluations import make_host, make_variant

Chat = Callable[[httpx.Request], httpx.Response]


def error_response(status: int, code: str, message: str = "no", **headers: str) -> httpx.Response:
    body = ErrorBody(error=ErrorObject(message=message, type="error", param=None, code=code))
    return httpx.Response(status, content=msgspec.json.encode(body), headers=headers)


def chunk(content: str | None = None, *, finish_reason: str | None = None, usage: int | None = None) -> str:
    """Return one event of a stream; `usage` is the number of completion tokens, in the trailer that has no choice."""
    choice = {"index": 0, "delta": {"content": content} if content is not None else {}, "finish_reason": finish_reason}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "tutor",
        "system_fingerprint": "f",
        "choices": [choice] if usage is None else [],
        "usage": None if usage is None else {"prompt_tokens": 7, "completion_tokens": usage, "total_tokens": 7 + usage},
    }
    return f"data: {json.dumps(body)}\n\n"


def whole_answer(text: str) -> str:
    return chunk(text) + chunk(finish_reason="stop") + chunk(usage=3) + "data: [DONE]\n\n"


class Broken(httpx.SyncByteStream):
    """A body that ends in an error of the connection."""

    def __init__(self, parts: Iterable[str], error: Exception) -> None:
        self._parts = parts
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            yield part.encode()
        raise self._error


def stream_response(body: str | httpx.SyncByteStream, variant: str) -> httpx.Response:
    headers = {"x-gateway-variant": variant, "content-type": "text/event-stream"}
    if isinstance(body, str):
        return httpx.Response(200, content=body.encode(), headers=headers)
    return httpx.Response(200, stream=body, headers=headers)


class FakeGateway:
    """Knows the variants `incumbent`, `good`, `small` and `bad`; answers by the variant; keeps what it is told."""

    def __init__(self, answers: dict[str, str], *, predicted_bytes: dict[str, int] | None = None) -> None:
        sizes = predicted_bytes or {}
        self.views = {name: _view(name, sizes.get(name, 1000)) for name in answers}
        self.answers = answers
        self.loaded = {"incumbent"}
        self.recorded: list[Evaluation] = []
        self.progress: list[RunProgress] = []
        self.promotions: list[PromotionRequest] = []
        self.refuse_promotion: str | None = None
        self.promotion_outcome = PromotionOutcome.DONE
        self.promotion_error: Exception | None = None
        self.refuse_unload: str | None = None
        self.loans: list[LoanRequest] = []
        self.lent: str | None = None
        """The name of the variant that has the memory on loan; the incumbent's engine is away meanwhile."""
        self.fits_one = False
        """Whether the memory takes one engine."""
        self.max_rows = 8
        self.queued: dict[str, int] = {}
        self.on_status: Callable[[], None] = lambda: None
        """Called before each answer to `GET /admin/status`."""
        self.lend: Callable[[LoanRequest], httpx.Response] = self.borrow
        self.unready: str | None = None
        """What is wrong with every engine."""
        self.host = make_host()
        self.memory = MemoryStatus(
            limit_bytes=10_000,
            reserve_bytes=1_000,
            planned_bytes=0,
            used_bytes=0,
            available_bytes=10_000,
            near_limit=False,
        )
        self.builds: list[BuildView] = []
        """That are there."""
        self.build: Callable[[BuildRequest], httpx.Response] = lambda _: error_response(404, ErrorCode.NOT_FOUND)
        """Answers an order."""
        self.chat: Chat | None = None
        """Answers chat requests in place of the variants."""
        self.deployments = [
            Deployment(
                model="tutor",
                incumbent=self.views["incumbent"].digest,
                revision=4,
                gate=GatePolicy(suite="mini", tag="demo", profile="seed"),
            )
        ]

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:  # noqa: C901, PLR0911, PLR0912 - one row a route
        method, path = request.method, request.url.path
        _, *parts = path.strip("/").split("/")
        match method, parts:
            case "POST", ["chat", "completions"]:
                return self.chat(request) if self.chat else self.complete(request)
            case "GET", ["deployments"]:
                return _json(self.deployments)
            case "GET", ["deployments", _]:
                return _json(self.deployments[0])
            case "GET", ["variants"]:
                return _json(list(self.views.values()))
            case "POST", ["variants"]:
                return self._find(msgspec.json.decode(request.content, type=RegisterVariant).source)
            case "GET", ["variants", reference]:
                return self._find(reference)
            case "GET", ["builds"]:
                return _json(self.builds)
            case "POST", ["builds"]:
                return self.build(msgspec.json.decode(request.content, type=BuildRequest))
            case "GET", ["builds", build_id]:
                return _json(next(view for view in self.builds if view.id == build_id))
            case "POST", ["score"]:
                return self._score(msgspec.json.decode(request.content, type=ScoreRequest))
            case "POST", []:  # /tokenize
                return _json(TokenizeView(tokens=(1, 2, 3), count=3, max_model_len=8192))
            case "GET", ["host"]:
                return _json(self.host)
            case "GET", ["status"]:
                return _json(self.status())
            case "GET", ["engines"]:
                return _json([_engine(self.views[name], self.unready, self.max_rows) for name in sorted(self.loaded)])
            case "POST", ["engines"]:
                view = self._view(msgspec.json.decode(request.content, type=LoadRequest).variant)
                if self.fits_one and view.variant.name not in self.loaded:
                    return error_response(503, ErrorCode.MEMORY_PRESSURE, "1,000 bytes and 1,000 are more than 1,500")
                self.loaded.add(view.variant.name)
                return _json(_engine(view, self.unready, self.max_rows))
            case "DELETE", ["engines", reference]:
                if self.refuse_unload is not None:
                    return error_response(409, ErrorCode.NOT_READY, self.refuse_unload)
                self.loaded.remove(self._view(reference).variant.name)
                return httpx.Response(204)
            case "POST", ["loans"]:
                return self.lend(msgspec.json.decode(request.content, type=LoanRequest))
            case "DELETE", ["loans"]:
                self.end_loan()
                return httpx.Response(204)
            case "POST", ["progress"]:
                self.progress.append(msgspec.json.decode(request.content, type=RunProgress))
                return httpx.Response(204)
            case "POST", ["evaluations"]:
                return self._record(msgspec.json.decode(request.content, type=Evaluation))
            case "GET", ["evaluations"]:
                return _json([_summary(evaluation) for evaluation in self.recorded])
            case "GET", ["evaluations", evaluation_id]:
                found = [each for each in self.recorded if each.id == evaluation_id]
                return _json(found[0]) if found else error_response(404, ErrorCode.NOT_FOUND, "no such evaluation")
            case "POST", ["promotions"]:
                return self._promote(msgspec.json.decode(request.content, type=PromotionRequest))
            case "GET", ["promotions"]:
                return _json([])
            case _:
                return error_response(404, ErrorCode.NOT_FOUND, f"no route {method} {path}")

    def status(self) -> StatusView:
        self.on_status()
        return StatusView(
            ready=True,
            detail="",
            pid=1,
            uptime_s=1.0,
            running=0,
            queued=self.queued,
            memory=self.memory,
            deployments=(),
            engines=tuple(_engine(self.views[name], self.unready, self.max_rows) for name in sorted(self.loaded)),
        )

    def end_loan(self) -> None:
        """As the gateway does where it is asked to, or the loan's time has come."""
        self.lent, self.loaded = None, {"incumbent"}

    def borrow(self, loan: LoanRequest) -> httpx.Response:
        assert self.lent is None, "the client gives back before it borrows"
        self.loans.append(loan)
        self.lent = self._view(loan.variant).variant.name
        self.loaded = {self.lent}
        return _json(LoanView(variant=loan.variant, ends_in_s=loan.for_s))

    def _score(self, request: ScoreRequest) -> httpx.Response:
        """Every variant holds every text alike, so none is found to be broken."""
        answer = request.messages[-1].content if request.messages else ""
        positions = tuple(
            TokenScore(token=ord(letter), logprob=-0.1, top=(TopToken(ord(letter), -0.1),), tail_mass=0.09, text=letter)
            for letter in answer
        )
        return _json(ScoreView(variant=request.variant or "", token_count=len(answer), positions=positions))

    def complete(self, request: httpx.Request) -> httpx.Response:
        """Answer as the variant that the request is pinned to."""
        view = self._view(request.headers["x-gateway-variant"])
        if self.fits_one and view.variant.name not in self.loaded:
            return error_response(503, ErrorCode.MEMORY_PRESSURE, "it does not fit beside the one that is loaded")
        return stream_response(whole_answer(self.answers[view.variant.name]), view.reference)

    def _view(self, reference: str) -> VariantView:
        return next(view for view in self.views.values() if reference in {view.reference, view.digest})

    def _find(self, source: str) -> httpx.Response:
        for name, view in self.views.items():
            if source in {name, view.reference, view.digest, view.variant.engine.path}:
                return _json(view)
        return error_response(422, ErrorCode.MODEL_UNREADABLE, f"no model {source!r}")

    def _record(self, evaluation: Evaluation) -> httpx.Response:
        self.recorded.append(evaluation)
        return _json(_summary(evaluation))

    def _promote(self, request: PromotionRequest) -> httpx.Response:
        self.promotions.append(request)
        if self.promotion_error is not None:
            raise self.promotion_error
        if self.refuse_promotion is not None:
            return error_response(409, ErrorCode.PROMOTION_REFUSED, self.refuse_promotion)
        before = self.deployments[0]
        to_variant = request.variant or before.incumbent
        after = msgspec.structs.replace(before, incumbent=to_variant, revision=before.revision + 1)
        self.deployments[0] = after
        promotion = Promotion(
            id=1,
            at="2026-01-01T00:00:00Z",
            model=before.model,
            kind=PromotionKind.PROMOTE,
            outcome=self.promotion_outcome,
            from_variant=before.incumbent,
            to_variant=to_variant,
            revision=after.revision,
        )
        return _json(PromotionView(promotion=promotion, deployment=after))


def _view(name: str, predicted_bytes: int) -> VariantView:
    variant = make_variant(name)
    return VariantView(
        reference=variant.reference,
        digest=variant.digest,
        predicted_bytes=predicted_bytes,
        created_at="2026-01-01T00:00:00Z",
        variant=variant,
    )


def _engine(view: VariantView, unready: str | None, max_rows: int) -> EngineView:
    return EngineView(
        engine_digest=view.variant.engine.digest,
        variants=(view.reference,),
        state=EngineState.FAILED if unready else EngineState.READY,
        detail=unready or "",
        pid=1,
        device="scripted",
        dequantised=False,
        load_time_s=None if unready else 0.5,
        active_after_load_bytes=view.predicted_bytes,
        predicted_bytes=view.predicted_bytes,
        memory=EngineMemory(),
        rows=0,
        max_rows=max_rows,
        one_at_a_time=False,
        queued=0,
        restarts=0,
        uptime_s=1.0,
    )


def _summary(evaluation: Evaluation) -> EvaluationSummary:
    return EvaluationSummary(
        id=evaluation.id,
        created_at=evaluation.created_at,
        model=evaluation.model,
        suite=evaluation.suite.name,
        incumbent=evaluation.incumbent.variant.reference,
        candidates=tuple(
            CandidateOutcome(reference=system.variant.reference, outcome=judgement.verdict.outcome)
            for system, judgement in zip(evaluation.candidates, evaluation.judgements, strict=True)
        ),
    )


def _json(value: Any) -> httpx.Response:
    return httpx.Response(200, content=msgspec.json.encode(value))
