"""What the console changes: promote, roll back, unload. Each says first, in a dialog, exactly what it will do."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery
from litestar.response import Template
from litestar_htmx import HTMXRequest

from gateway.api.console.failure import failed
from gateway.api.console.form import read_form
from gateway.contracts.admin import EvaluationSummary, PromotionRequest, SwapWay, VariantView
from gateway.contracts.deployments import Deployment, PromotionOutcome
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.variants import Variant
from gateway.errors import GatewayError, InvalidRequest, NotFound
from gateway.service import Gateway

_REMEDIES = {
    ErrorCode.REVISION_CONFLICT: "It was changed meanwhile. Close this, look at what serves now, and decide again.",
    ErrorCode.SWAP_ABANDONED: "Answers were still under way. Try again when less is asked.",
    ErrorCode.MEMORY_PRESSURE: "Unload an engine that nobody needs, and try again.",
    ErrorCode.NOTHING_TO_ROLL_BACK: "This model has had no other incumbent.",
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of an incumbent as its dialog describes it."""

    deployment: Deployment
    incumbent: str
    target: VariantView
    way: SwapWay
    evaluation: EvaluationSummary | None
    """None in a rollback."""
    refusals: tuple[str, ...]
    """What the gate would say now."""
    wait_timeout_s: float


@get("/console/promotion")
async def ask_to_change(
    gateway: NamedDependency[Gateway],
    model: FromQuery[str],
    evaluation_id: FromQuery[str | None] = None,
    variant: FromQuery[str | None] = None,
) -> Template:
    """Describe a promotion, or a rollback where no evaluation is named, for somebody to confirm."""
    deployment = await gateway.deployment(model)
    incumbent = (await gateway.variant(deployment.incumbent)).variant
    if evaluation_id is None:
        target = await gateway.rollback_target(model)
        if target is None:
            raise InvalidRequest(f"{model} has had no other incumbent to roll back to.")
        change = _change(gateway, deployment, incumbent, target)
    else:
        target = await gateway.variant(variant or "")
        evaluation = next((it for it in await gateway.evaluations() if it.id == evaluation_id), None)
        if evaluation is None:
            raise NotFound(f"No evaluation {evaluation_id!r} is recorded here.")
        refusals = await gateway.refusals(model, target, evaluation_id)
        change = _change(gateway, deployment, incumbent, target, evaluation=evaluation, refusals=refusals)
    return Template("partials/change.html", context={"change": change})


@post("/console/promotions", status_code=200)
async def change_incumbent(request: HTMXRequest, gateway: NamedDependency[Gateway]) -> Response[Any]:
    """Promote or roll back, and say how that ended."""
    form = await read_form(request)
    body = PromotionRequest(
        model=form.text("model"),
        expected_revision=form.integer("expected_revision"),
        variant=form.optional("variant"),
        evaluation_id=form.optional("evaluation_id"),
        rollback=form.optional("rollback") is not None,
    )
    try:
        done = await gateway.promote(body)
    except GatewayError as error:
        return failed(request, error, "partials/refused.html", remedy=_REMEDIES.get(error.code))
    sound = done.promotion.outcome is PromotionOutcome.DONE
    incumbent = await gateway.variant(done.promotion.to_variant)
    context = {"done": done, "incumbent": incumbent.reference, "sound": sound}
    return Template("partials/changed.html", context=context)


@get("/console/unloading")
async def ask_to_unload(gateway: NamedDependency[Gateway], variant: FromQuery[str]) -> Template:
    """Describe what unloading an engine means, for somebody to confirm."""
    view = await gateway.variant(variant)
    engine = gateway.fleet.find(view.variant.engine)
    held_bytes = engine.memory.active_bytes if engine else 0
    return Template("partials/unload.html", context={"view": view, "held_bytes": held_bytes})


@post("/console/unloading", status_code=200)
async def unload(request: HTMXRequest, gateway: NamedDependency[Gateway]) -> Response[Any]:
    """Unload an engine that serves nothing."""
    reference = (await read_form(request)).text("variant")
    try:
        await gateway.unload_engine(reference)
    except GatewayError as error:
        return failed(request, error, "partials/refused.html")
    return Template("partials/unloaded.html", context={"reference": reference})


def _change(
    gateway: Gateway,
    deployment: Deployment,
    incumbent: Variant,
    target: VariantView,
    *,
    evaluation: EvaluationSummary | None = None,
    refusals: tuple[str, ...] = (),
) -> Change:
    if incumbent.engine.digest == target.variant.engine.digest:
        way = SwapWay.SHARED
    else:
        way = SwapWay.BESIDE if gateway.fleet.fits(target.variant.engine) else SwapWay.IN_TURN
    return Change(
        deployment=deployment,
        incumbent=incumbent.reference,
        target=target,
        way=way,
        evaluation=evaluation,
        refusals=refusals,
        wait_timeout_s=gateway.settings.swap.wait_timeout_s,
    )


ROUTES: tuple[HTTPRouteHandler, ...] = (ask_to_change, change_incumbent, ask_to_unload, unload)
