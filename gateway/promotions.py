"""Carry a Promotion out: ask the gate, load the new engine, switch in one transaction, or record why not."""

import asyncio
from datetime import datetime

from gateway.contracts.admin import PromotionRequest, PromotionView, VariantView
from gateway.contracts.deployments import Deployment, PromotionKind
from gateway.contracts.evaluations import Evaluation
from gateway.errors import GatewayError, InvalidRequest, PromotionRefused, RevisionConflict
from gateway.fleet.fleet import Fleet
from gateway.gate import refusals
from gateway.registry import Registry


class Promotions:
    """One at a time: two changes of incumbents at once would each load an engine for a revision that is gone."""

    def __init__(self, registry: Registry, fleet: Fleet) -> None:
        self._registry = registry
        self._fleet = fleet
        self._one_at_a_time = asyncio.Lock()

    async def run(self, body: PromotionRequest, deployment: Deployment, *, now: datetime) -> PromotionView:
        """Promote, override or roll back.

        Raises PromotionRefused with every reason, RevisionConflict, GateError where there is nothing to roll back to,
        and what loading the engine raises; such a failed load is in the audit log.
        """
        async with self._one_at_a_time:
            return await self._run(body, deployment, now)

    async def _run(self, body: PromotionRequest, deployment: Deployment, now: datetime) -> PromotionView:
        kind = _kind(body)
        if body.expected_revision != deployment.revision:
            raise RevisionConflict(
                f"{body.model} is at revision {deployment.revision}, not {body.expected_revision}: it has changed "
                "meanwhile. Look at it and ask again."
            )
        target = await self._target(body, kind)
        evaluation = await self._registry.evaluation(body.evaluation_id) if body.evaluation_id else None

        def check(current: Deployment, recorded: Evaluation | None) -> None:
            _check(kind, target, current, recorded, now)

        # First here, so that nothing is loaded for a promotion that the gate refuses anyway; what counts is the same
        # check inside the registry's transaction.
        await asyncio.to_thread(check, deployment, evaluation)
        await self._load(target, kind, body)
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
        return PromotionView(promotion=promotion, deployment=changed)

    async def _target(self, body: PromotionRequest, kind: PromotionKind) -> VariantView:
        if kind is PromotionKind.ROLLBACK:
            return await self._registry.variant(await self._registry.previous_incumbent(body.model))
        if body.variant is None:
            raise InvalidRequest("variant is missing: name the candidate as name@digest.", param="variant")
        return await self._registry.variant(body.variant)

    async def _load(self, target: VariantView, kind: PromotionKind, body: PromotionRequest) -> None:
        try:
            await self._fleet.ensure(target.variant.engine)
        except GatewayError as error:
            await self._registry.record_failed_promotion(
                body.model,
                to_variant=target.digest,
                kind=kind,
                reason=error.message,
                evaluation_id=body.evaluation_id,
            )
            raise


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
    kind: PromotionKind, target: VariantView, deployment: Deployment, evaluation: Evaluation | None, now: datetime
) -> None:
    if target.digest == deployment.incumbent:
        raise PromotionRefused(f"{target.reference} is the incumbent of {deployment.model} already.")
    if kind is not PromotionKind.PROMOTE:
        return
    if evaluation is None:
        raise PromotionRefused("There is no such evaluation.")
    if reasons := refusals(evaluation, candidate_digest=target.digest, deployment=deployment, now=now):
        raise PromotionRefused(f"The gate refuses {target.reference}: {'; '.join(reasons)}.")
