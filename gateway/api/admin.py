"""The admin routes: what canary and an operator's scripts call. Each is one call of the Gateway."""

from typing import Any

from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from gateway.api.auth import demand
from gateway.api.body import BodyDecoder, read_json
from gateway.api.disconnect import ClientDisconnected, unless_disconnected
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
from gateway.contracts.deployments import Deployment, Promotion
from gateway.contracts.evaluations import Evaluation
from gateway.contracts.host import Host
from gateway.contracts.keys import KeyRole
from gateway.contracts.scoring import ScoreRequest, ScoreView
from gateway.contracts.status import StatusView
from gateway.host import read_host
from gateway.service import Gateway
from gateway.status import status_of

_registration = BodyDecoder(RegisterVariant)
_load = BodyDecoder(LoadRequest)
_loan = BodyDecoder(LoanRequest)
_evaluation = BodyDecoder(Evaluation)
_promotion = BodyDecoder(PromotionRequest)
_score = BodyDecoder(ScoreRequest)


@post("/admin/variants", status_code=200)
async def register_variant(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> VariantView:
    """Make a Variant of a model's files."""
    return await gateway.register_variant(await read_json(request, _registration, gateway.settings.server))


@get("/admin/variants")
async def list_variants(gateway: NamedDependency[Gateway]) -> tuple[VariantView, ...]:
    return await gateway.variants()


@get("/admin/variants/{reference:str}")
async def show_variant(reference: FromPath[str], gateway: NamedDependency[Gateway]) -> VariantView:
    return await gateway.variant(reference)


@delete("/admin/variants/{reference:str}", status_code=200)
async def archive_variant(
    reference: FromPath[str], gateway: NamedDependency[Gateway], dry_run: FromQuery[bool] = False
) -> ArchiveView:
    """Remove a Variant's files, or with `dry_run` say which would go; it stays in the registry and in reports."""
    return await gateway.archive_variant(reference, dry_run=dry_run)


@post("/admin/engines", status_code=200)
async def load_engine(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> EngineView:
    """Load what a Variant needs, and answer when it is ready."""
    body = await read_json(request, _load, gateway.settings.server)
    return await gateway.load_engine(body.variant)


@get("/admin/engines")
async def list_engines(gateway: NamedDependency[Gateway]) -> tuple[EngineView, ...]:
    return gateway.engines()


@delete("/admin/engines/{reference:str}")
async def unload_engine(reference: FromPath[str], gateway: NamedDependency[Gateway]) -> None:
    """Unload a Variant's engine; refused where a Deployment serves it."""
    await gateway.unload_engine(reference)


@post("/admin/loans", status_code=200)
async def lend(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> LoanView:
    """Lend a Variant the incumbent's memory for a while; that requests are turned away needs the admin role."""
    body = await read_json(request, _loan, gateway.settings.server)
    if body.turn_away:
        demand(request, KeyRole.ADMIN, "A loan that turns requests away")
    return await gateway.lend(body)


@delete("/admin/loans")
async def end_loan(gateway: NamedDependency[Gateway]) -> None:
    """End the loan, if there is one; answers when the incumbent serves again."""
    await gateway.end_loan()


@get("/admin/status")
async def show_status(gateway: NamedDependency[Gateway]) -> StatusView:
    """Show what is served and loaded, and how full the machine is."""
    return status_of(gateway)


@get("/admin/host")
async def show_host(gateway: NamedDependency[Gateway]) -> Host:
    """Describe this machine as it is now: what times and memory that are measured on it depend on."""
    return await read_host(gateway.fleet.memory.machine.limit_bytes)


@get("/admin/deployments")
async def list_deployments(gateway: NamedDependency[Gateway]) -> tuple[Deployment, ...]:
    return await gateway.deployments()


@get("/admin/deployments/{model:path}")
async def show_deployment(model: FromPath[str], gateway: NamedDependency[Gateway]) -> Deployment:
    return await gateway.deployment(model.removeprefix("/"))


@post("/admin/score", status_code=200)
async def score(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> ScoreView:
    """Say how likely each token of a given text is."""
    body = await read_json(request, _score, gateway.settings.server)
    views: list[ScoreView] = []

    async def work() -> None:
        views.append(await gateway.score(body))

    if not await unless_disconnected(work(), request.receive):
        raise ClientDisconnected
    return views[0]


@post("/admin/evaluations", status_code=200)
async def record_evaluation(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> EvaluationSummary:
    """Record an Evaluation, once and for ever; the gateway recomputes its verdicts."""
    return await gateway.record_evaluation(await read_json(request, _evaluation, gateway.settings.server))


@get("/admin/evaluations")
async def list_evaluations(gateway: NamedDependency[Gateway]) -> tuple[EvaluationSummary, ...]:
    return await gateway.evaluations()


@get("/admin/evaluations/{evaluation_id:str}")
async def show_evaluation(evaluation_id: FromPath[str], gateway: NamedDependency[Gateway]) -> Evaluation:
    return await gateway.evaluation(evaluation_id)


@post("/admin/promotions", status_code=200)
async def promote(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> PromotionView:
    """Promote by an Evaluation; or by override or back to the previous incumbent, which needs the admin role."""
    body = await read_json(request, _promotion, gateway.settings.server)
    if body.rollback or body.override_reason is not None:
        demand(request, KeyRole.ADMIN, "An override or a rollback")
    return await gateway.promote(body)


@get("/admin/promotions")
async def list_promotions(
    gateway: NamedDependency[Gateway], model: FromQuery[str | None] = None
) -> tuple[Promotion, ...]:
    """List the audit log, of one model or of all."""
    return await gateway.promotions(model)


ROUTES: tuple[HTTPRouteHandler, ...] = (
    register_variant,
    list_variants,
    show_variant,
    archive_variant,
    load_engine,
    list_engines,
    unload_engine,
    lend,
    end_loan,
    show_status,
    show_host,
    list_deployments,
    show_deployment,
    score,
    record_evaluation,
    list_evaluations,
    show_evaluation,
    promote,
    list_promotions,
)
