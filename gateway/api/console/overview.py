"""`GET /`: what serves, how it fares, and how full the machine is."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery
from litestar.response import Template
from litestar_htmx import HTMXRequest

from gateway.api.console.failure import wants_page
from gateway.api.console.picture import MemoryPicture, memory_picture
from gateway.contracts.admin import EvaluationSummary
from gateway.contracts.deployments import Promotion, PromotionOutcome
from gateway.contracts.evaluations import Outcome
from gateway.contracts.progress import RunView
from gateway.contracts.status import DeploymentStatus, StatusView
from gateway.recent import INTERVAL_S, Point
from gateway.service import Gateway
from gateway.status import status_of

_EVALUATIONS_SHOWN = 5


class Winner(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded candidate that passed against what serves now."""

    evaluation_id: str
    reference: str


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """One public model as its card shows it."""

    deployment: DeploymentStatus
    since: str | None
    """RFC 3339."""
    previous: str | None
    """Where a rollback goes back to, as `name@digest`."""
    winner: Winner | None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    status: StatusView
    serving: tuple[Serving, ...]
    memory: MemoryPicture
    incumbents: frozenset[str]
    """Digests of the engines that serve."""
    runs: tuple[RunView, ...]
    """Evaluations that go on."""
    evaluations: tuple[EvaluationSummary, ...]
    now: Point | None

    @property
    def summary(self) -> str:
        """What changes seldom, in one sentence: screen readers are told it when it does."""
        served = ", ".join(f"{it.deployment.model} by {it.deployment.incumbent}" for it in self.serving)
        near = " Memory is near its limit." if self.status.memory.near_limit else ""
        state = "Ready" if self.status.ready else f"Not ready: {self.status.detail}"
        return f"{state}. Serving {served or 'nothing'}.{near}"


@get("/")
async def show_overview(request: HTMXRequest, gateway: NamedDependency[Gateway]) -> Response[Any]:
    """Show the console to a browser, and to a program where to go."""
    if not wants_page(request):
        return Response(_directions())
    return Template("overview.html", context={"overview": await _overview(gateway), "interval_s": INTERVAL_S})


@get("/console/overview")
async def refresh_overview(gateway: NamedDependency[Gateway]) -> Template:
    """Show what of the overview moves."""
    return Template("partials/overview.html", context={"overview": await _overview(gateway)})


@get("/console/recent")
async def show_recent(gateway: NamedDependency[Gateway], after: FromQuery[float] = 0.0) -> Response[bytes]:
    """Give the charts what was read after that Unix time."""
    points = list(gateway.watcher.recent.points(after_s=after))
    return Response(msgspec.json.encode(points), media_type="application/json")


async def _overview(gateway: Gateway) -> Overview:
    status = status_of(gateway)
    promotions, evaluations = await gateway.promotions(None), await gateway.evaluations()
    return Overview(
        status=status,
        serving=tuple([await _serving(gateway, it, promotions, evaluations) for it in status.deployments]),
        memory=memory_picture(status.memory, status.engines),
        incumbents=frozenset(it.engine_digest for it in status.deployments),
        runs=gateway.runs.current(),
        evaluations=evaluations[:_EVALUATIONS_SHOWN],
        now=gateway.watcher.recent.latest(),
    )


async def _serving(
    gateway: Gateway,
    status: DeploymentStatus,
    promotions: Sequence[Promotion],
    evaluations: Sequence[EvaluationSummary],
) -> Serving:
    previous = await gateway.rollback_target(status.model)
    changes = (it for it in promotions if it.model == status.model and it.outcome is not PromotionOutcome.FAILED)
    latest = next(changes, None)
    return Serving(
        deployment=status,
        since=latest.at if latest else None,
        previous=previous.reference if previous else None,
        winner=_winner(status, evaluations),
    )


def _winner(status: DeploymentStatus, evaluations: Sequence[EvaluationSummary]) -> Winner | None:
    """Return the candidate that passed most lately against the incumbent of now."""
    for evaluation in evaluations:
        if (evaluation.model, evaluation.incumbent) != (status.model, status.incumbent):
            continue
        for candidate in evaluation.candidates:
            if candidate.outcome is Outcome.PASSED and candidate.reference != status.incumbent:
                return Winner(evaluation_id=evaluation.id, reference=candidate.reference)
    return None


def _directions() -> dict[str, str]:
    return {
        "name": "gateway",
        "version": version("gateway-canary"),
        "api": "/v1",
        "document": "/openapi.json",
        "status": "/admin/status",
        "metrics": "/metrics",
    }


ROUTES: tuple[HTTPRouteHandler, ...] = (show_overview, refresh_overview, show_recent)
