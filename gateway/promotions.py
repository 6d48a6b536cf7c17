"""Carry a Promotion out: ask the gate, exchange the engines, switch in one transaction, or record why not."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import msgspec
import structlog

from gateway.archive import require_files
from gateway.contracts.admin import PromotionRequest, PromotionView, VariantView
from gateway.contracts.chat import ChatRequest
from gateway.contracts.deployments import Deployment, Promotion, PromotionKind, PromotionOutcome
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Evaluation
from gateway.contracts.host import Host
from gateway.contracts.messages import ChatMessage
from gateway.contracts.variants import EngineSpec, Variant
from gateway.errors import GatewayError, InvalidRequest, NotReady, PromotionRefused, RevisionConflict
from gateway.fleet.fleet import Fleet
from gateway.fleet.swap import Order, Swap, SwapPoint, vacate
from gateway.gate import refusals
from gateway.host import read_host
from gateway.read_back import check_loaded
from gateway.registry import Registry
from gateway.settings import SwapSettings
from gateway.submission import submit_of
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.request_id import of_request
from gateway.wire import Submit

_log = structlog.get_logger()

_WARM_UP_TOKENS = 4


class Routes(Protocol):
    """Who answers for what, as requests are routed now."""

    def incumbents(self) -> Iterable[tuple[Deployment, Variant]]: ...

    def switch(self, deployment: Deployment, incumbent: VariantView) -> None:
        """Send requests from now on to the incumbent."""
        ...


class Promotions:
    """One at a time: two changes of incumbents at once would each load an engine for a revision that is gone."""

    def __init__(
        self,
        registry: Registry,
        fleet: Fleet,
        routes: Routes,
        *,
        settings: SwapSettings,
        metrics: Metrics,
        at: Callable[[SwapPoint], None],
    ) -> None:
        """`at` is called at each point that a swap reaches."""
        self._registry = registry
        self._fleet = fleet
        self._routes = routes
        self._settings = settings
        self._metrics = metrics
        self._at = at
        self.one_at_a_time = asyncio.Lock()
        """Held while engines are exchanged, whatever for."""
        self._tasks: set[asyncio.Task[PromotionView]] = set()

    async def run(self, body: PromotionRequest) -> PromotionView:
        """Promote, override or roll back. It is carried through also where whoever asked for it leaves.

        Raises PromotionRefused with every reason, RevisionConflict, GateError where there is nothing to roll back to,
        and what kept the engines from being exchanged; such a failure is in the audit log.
        """
        task = asyncio.create_task(self._run(body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise shutting_down() from None
            raise

    async def refusals(self, model: str, target: VariantView, evaluation_id: str) -> tuple[str, ...]:
        """Return what the gate would say of such a promotion now, readable; empty means that it may be asked for."""
        deployment, evaluation = await self._registry.deployment(model), await self._registry.evaluation(evaluation_id)
        host = await read_host(self._fleet.memory.machine.limit_bytes)
        ask = partial(refusals, candidate_digest=target.digest, deployment=deployment, now=datetime.now(UTC), host=host)
        return await asyncio.to_thread(ask, evaluation)

    async def unload(self, spec: EngineSpec, *, check: Callable[[], None]) -> None:
        """Unload an engine that serves nothing; `check` raises where it does, at the moment when it is asked."""
        async with self.one_at_a_time:
            check()
            await vacate(self._fleet, spec, self._settings)

    def give_up(self) -> None:
        """Leave what is under way, because the process ends: the registry says what serves after the next start."""
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        """Wait until nothing is under way any more."""
        self.give_up()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, body: PromotionRequest) -> PromotionView:
        async with self.one_at_a_time:
            kind = _kind(body)
            deployment = await self._registry.deployment(body.model)
            if body.expected_revision != deployment.revision:
                raise RevisionConflict(
                    f"{body.model} is at revision {deployment.revision}, not {body.expected_revision}: it has changed "
                    "meanwhile. Look at it and ask again."
                )
            target = await self._target(body, kind)
            evaluation = await self._registry.evaluation(body.evaluation_id) if body.evaluation_id else None
            # First here, so that nothing is loaded for a promotion that the gate refuses anyway; what counts is the
            # same check inside the registry's transaction.
            host = await read_host(self._fleet.memory.machine.limit_bytes)
            await asyncio.to_thread(_check, kind, target, deployment, evaluation, host)
            async with self._recording_failure(body, target, kind):
                done = await self._exchange(body, kind, target, evaluation, host)
            view = await self._confirm(done, target, kind)
            await self._tell(view.promotion, target)
            return view

    async def _target(self, body: PromotionRequest, kind: PromotionKind) -> VariantView:
        if kind is PromotionKind.ROLLBACK:
            return require_files(await self._registry.variant(await self._registry.previous_incumbent(body.model)))
        if body.variant is None:
            raise InvalidRequest("variant is missing: name the candidate as name@digest.", param="variant")
        return require_files(await self._registry.variant(body.variant))

    async def _exchange(
        self,
        body: PromotionRequest,
        kind: PromotionKind,
        target: VariantView,
        evaluation: Evaluation | None,
        host: Host,
    ) -> PromotionView:
        """Have the new engine ready, change the registry, and switch."""

        def check(current: Deployment, recorded: Evaluation | None) -> None:
            _check(kind, target, current, recorded, host)
            self._at(SwapPoint.COMMITTING)

        swap = Swap(self._fleet, self._order(body, target), self._settings, at=self._at)
        async with self._telling(swap, body.model, target), swap.carried_out():
            changed, promotion = await self._registry.replace_incumbent(
                body.model,
                expected_revision=body.expected_revision,
                to_variant=target.digest,
                kind=kind,
                check=check,
                evaluation_id=evaluation.id if evaluation else None,
                reason=body.override_reason,
                pin_suite_digest=evaluation.suite.digest if evaluation and kind is PromotionKind.PROMOTE else None,
            )
            self._at(SwapPoint.COMMITTED)
            self._routes.switch(changed, target)
            self._at(SwapPoint.SWITCHED)
        self._metrics.deployments.promotion_finished(promotion)
        return PromotionView(promotion=promotion, deployment=changed)

    def _order(self, body: PromotionRequest, target: VariantView) -> Order:
        incumbents = {deployment.model: variant for deployment, variant in self._routes.incumbents()}
        old = incumbents.pop(body.model).engine
        others = frozenset(variant.engine.digest for variant in incumbents.values())
        return Order(
            old=old,
            new=target.variant.engine,
            served=others | {old.digest},
            old_stays=old.digest in others,
            cut_streams=body.cut_streams,
            warm_up=warm_up(target.variant),
            check=lambda engine: check_loaded(engine, target.variant.engine, self._registry),
        )

    async def _confirm(self, done: PromotionView, target: VariantView, kind: PromotionKind) -> PromotionView:
        """Read back from the process that serves now what it has loaded; where that cannot be said, record it."""
        model = done.deployment.model
        serving = (await self._registry.variant((await self._registry.deployment(model)).incumbent)).variant.engine
        routed = {deployment.model: variant.engine for deployment, variant in self._routes.incumbents()}[model]
        engine = self._fleet.find(routed)
        try:
            if engine is not None:  # one that nobody has used for a while is loaded by the next request
                await check_loaded(engine, serving, self._registry)
        except GatewayError as error:
            _log.error("serving_not_verified", model=model, variant=target.reference, detail=error.message)
            promotion = await self._record(
                model, target, kind, PromotionOutcome.UNVERIFIED, error.message, done.promotion.evaluation_id
            )
            return msgspec.structs.replace(done, promotion=promotion)
        self._at(SwapPoint.CONFIRMED)
        return done

    @asynccontextmanager
    async def _telling(self, swap: Swap, model: str, target: VariantView) -> AsyncGenerator[None]:
        """Log and count how the swap ended."""
        outcome, detail = "done", ""
        try:
            yield
        except GatewayError as error:
            outcome, detail = error.code.value, error.message
            raise
        except asyncio.CancelledError:
            outcome = ErrorCode.SHUTTING_DOWN.value
            raise
        except BaseException:
            outcome = ErrorCode.INTERNAL_ERROR.value
            raise
        finally:
            self._metrics.deployments.swap_finished(model=model, way=swap.way, outcome=outcome, gap_s=swap.gap_s)
            _log.info(
                "swap_finished",
                **of_request(),
                model=model,
                to_variant=target.reference,
                way=swap.way,
                outcome=outcome,
                detail=detail,
                drain_s=round(swap.drain_s, 3),
                load_s=round(swap.load_s, 3),
                gap_s=round(swap.gap_s, 3),
            )

    @asynccontextmanager
    async def _recording_failure(
        self, body: PromotionRequest, target: VariantView, kind: PromotionKind
    ) -> AsyncGenerator[None]:
        """Write into the audit log why a change that was begun did not happen."""
        try:
            yield
        except GatewayError as error:
            await self._record_failed(body, target, kind, error.message)
            raise
        except asyncio.CancelledError:
            if (await self._registry.deployment(body.model)).incumbent != target.digest:
                reason = "The gateway was shut down before the change was made."
                await self._record_failed(body, target, kind, reason)
            raise

    async def _record_failed(
        self, body: PromotionRequest, target: VariantView, kind: PromotionKind, reason: str
    ) -> None:
        failed = await self._record(body.model, target, kind, PromotionOutcome.FAILED, reason, body.evaluation_id)
        await self._tell(failed, target)

    async def _record(
        self,
        model: str,
        target: VariantView,
        kind: PromotionKind,
        outcome: PromotionOutcome,
        reason: str,
        evaluation_id: str | None,
    ) -> Promotion:
        promotion = await self._registry.record_promotion(
            model, to_variant=target.digest, kind=kind, outcome=outcome, reason=reason, evaluation_id=evaluation_id
        )
        self._metrics.deployments.promotion_finished(promotion)
        return promotion

    async def _tell(self, promotion: Promotion, target: VariantView) -> None:
        """Write the one line of a change that was made, or began and failed.

        It names variants as every line does, `name@digest`; an override's reason is the audit log's.
        """
        before = await self._registry.variant(promotion.from_variant) if promotion.from_variant else None
        _log.info(
            "promotion_finished",
            **of_request(),
            model=promotion.model,
            kind=promotion.kind,
            outcome=promotion.outcome,
            detail="" if promotion.outcome is PromotionOutcome.DONE else promotion.reason,
            from_variant=before.reference if before else None,
            to_variant=target.reference,
            evaluation=promotion.evaluation_id,
            revision=promotion.revision,
        )


def shutting_down() -> NotReady:
    return NotReady(
        "The gateway was shut down meanwhile; `canary history` says whether the change was made.",
        code=ErrorCode.SHUTTING_DOWN,
    )


def warm_up(variant: Variant) -> Submit:
    """Return a request as a client of this Variant sends it, and as short as one can be."""
    request = ChatRequest(
        model="", messages=(ChatMessage(role="user", content="Hello"),), max_completion_tokens=_WARM_UP_TOKENS
    )
    limit = variant.limits.max_completion_tokens
    if limit is not None and limit < _WARM_UP_TOKENS:
        request = msgspec.structs.replace(request, max_completion_tokens=limit)
    return msgspec.structs.replace(submit_of("warm-up", variant, request), prefix_cache=False)


def _kind(body: PromotionRequest) -> PromotionKind:
    ways = {
        PromotionKind.PROMOTE: body.evaluation_id is not None and body.override_reason is None,
        PromotionKind.OVERRIDE: body.override_reason is not None,
        PromotionKind.ROLLBACK: body.rollback,
    }
    chosen = [kind for kind, asked in ways.items() if asked]
    if len(chosen) != 1:
        raise InvalidRequest(
            "Say one of evaluation_id (promote), override_reason (override) and rollback.", param="evaluation_id"
        )
    if body.override_reason is not None and not body.override_reason.strip():
        raise InvalidRequest("override_reason is empty: say why, it stands in the audit log.", param="override_reason")
    return chosen[0]


def _check(
    kind: PromotionKind, target: VariantView, deployment: Deployment, evaluation: Evaluation | None, host: Host
) -> None:
    if target.digest == deployment.incumbent:
        raise PromotionRefused(f"{target.reference} is the incumbent of {deployment.model} already.")
    if kind is not PromotionKind.PROMOTE:
        return
    if evaluation is None:
        raise PromotionRefused("There is no such evaluation.")
    # The time of the check: a swap in between takes its own.
    now = datetime.now(UTC)
    if reasons := refusals(evaluation, candidate_digest=target.digest, deployment=deployment, now=now, host=host):
        raise PromotionRefused(f"The gate refuses {target.reference}: {'; '.join(reasons)}.")
