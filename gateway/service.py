"""What the gateway does, without HTTP: route and run requests, register and load variants, record and promote."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from gateway import routing
from gateway.choices import Choices, OneChoice, choice_submit, run_choices
from gateway.contracts.admin import (
    EngineState,
    EngineView,
    EvaluationSummary,
    PromotionRequest,
    PromotionView,
    RegisterVariant,
    VariantView,
)
from gateway.contracts.chat import ChatRequest, ModelCard
from gateway.contracts.deployments import Deployment, Promotion
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Evaluation, Role
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.scoring import ScoreRequest, ScoreView
from gateway.contracts.variants import EngineSpec, Variant
from gateway.errors import EvaluationInvalid, GateError, NotFound, NotReady
from gateway.fleet.client import Generation
from gateway.fleet.fleet import Fleet
from gateway.fleet.process import ProcessExit
from gateway.keys import KeyRing
from gateway.models import (
    HubRepository,
    OnProgress,
    read_model_directory,
    resolve_source,
    variant_name,
    with_options,
)
from gateway.models.fetch import fetch_repository
from gateway.promotions import Promotions
from gateway.registry import Registry
from gateway.scoring import check_request, score_message
from gateway.settings import Settings
from gateway.submission import submit_of
from gateway.telemetry.metrics import Metrics

_log = structlog.get_logger()

_FETCH_TIMEOUT_S = 24 * 3600.0
"""A download of tens of gigabytes is long and is watched by whoever asked for it."""
_HOUSEKEEPING_INTERVAL_S = 15.0


def _unwatched(_share: float, _message: str) -> None:
    """Progress that nobody looks at."""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    ready: bool
    detail: str
    engines: tuple[EngineView, ...]


class Gateway:
    """One machine's gateway, from `start` to `close`. It is the only writer of its registry."""

    def __init__(
        self, settings: Settings, *, registry: Registry, keys: KeyRing, metrics: Metrics, environ: Mapping[str, str]
    ) -> None:
        self.settings = settings
        self.keys = keys
        self.metrics = metrics
        self.fleet = Fleet(settings, environ=environ, on_exit=self._note_exit, metrics=metrics)
        self._registry = registry
        self._environ = environ
        self._deployments: dict[str, Deployment] = {}
        self._variants: dict[str, VariantView] = {}
        self._promotions = Promotions(registry, self.fleet)
        self._request_numbers = itertools.count(1)
        self._closing = False
        self._housekeeping: asyncio.Task[None] | None = None

    # --- life cycle ---

    async def start(self) -> None:
        """Read the registry. Engines are loaded by `load_incumbents`, so that /health answers meanwhile."""
        self._variants = {view.digest: view for view in await self._registry.variants()}
        for deployment in await self._registry.deployments():
            self._adopt(deployment)
        self._housekeeping = asyncio.create_task(self._keep_house())

    async def load_incumbents(self) -> None:
        """Load the engine of every Deployment. Raises what the first failure is."""
        for deployment in self._deployments.values():
            await self.fleet.ensure(self._incumbent(deployment).engine)
            _log.info("deployment_ready", model=deployment.model, variant=self._incumbent(deployment).reference)

    async def close(self) -> None:
        """End the engines; the server has let the requests end, or has cut them."""
        self._closing = True
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            await asyncio.wait([self._housekeeping])
        await self.fleet.close()

    def stop_admitting(self) -> None:
        self._closing = True

    def readiness(self) -> Readiness:
        """Ready means: every Deployment's incumbent can take a request now, or is loaded when one comes."""
        problems = [
            f"{deployment.model}: {problem}"
            for deployment in self._deployments.values()
            if (problem := self._problem(self._incumbent(deployment).engine))
        ]
        if self._closing:
            problems.insert(0, "shutting down")
        if not self._deployments:
            problems.append("no Deployment is configured")
        idle = [
            f"{deployment.model}: idle, loaded on demand"
            for deployment in self._deployments.values()
            if self.fleet.on_demand(self._incumbent(deployment).engine)
        ]
        return Readiness(ready=not problems, detail="; ".join(problems or idle) or "ready", engines=self.engines())

    # --- requests ---

    async def models(self) -> tuple[ModelCard, ...]:
        return tuple(
            ModelCard(
                id=deployment.model,
                created=_unix_time(self._variants[deployment.incumbent].created_at),
                owned_by="gateway",
                max_model_len=self._incumbent(deployment).engine.context_length,
            )
            for deployment in self._deployments.values()
        )

    async def route(
        self, model: str, pin: str | None, callers_class: SchedulingClass = SchedulingClass.INTERACTIVE
    ) -> routing.Route:
        """Choose what answers. Raises NotFound for a model that is not deployed or a pin that is not registered."""
        deployment = routing.deployment_of(model, self._deployments.values())
        pinned = (await self.variant(pin)).variant if pin is not None else None
        return routing.choose(deployment, self._incumbent(deployment), pinned, callers_class)

    @asynccontextmanager
    async def generate(self, route: routing.Route, request: ChatRequest) -> AsyncGenerator[Choices | OneChoice]:
        """Run the request on the route's engine. Entering waits for the engine's yes, leaving early cancels."""
        if self._closing:
            raise NotReady("The gateway is shutting down.", code=ErrorCode.SHUTTING_DOWN)
        submit = msgspec.structs.replace(submit_of("", route.variant, request), prefix_cache=route.prefix_cache)

        def open_choice(index: int) -> AbstractAsyncContextManager[Generation]:
            one = choice_submit(submit, index, request_id=str(next(self._request_numbers)))
            return self.fleet.generate(route.variant.engine, one, route.scheduling_class)

        async with run_choices(open_choice, request.n or 1) as choices:
            yield choices

    async def score(self, body: ScoreRequest) -> ScoreView:
        """Score a given text with a Variant's engine, which is loaded for it where need be."""
        check_request(body)
        if self._closing:
            raise NotReady("The gateway is shutting down.", code=ErrorCode.SHUTTING_DOWN)
        reference = body.variant or (await self.deployment(body.model or "")).incumbent
        variant = (await self.variant(reference)).variant
        message = score_message(str(next(self._request_numbers)), variant, body)
        async with self.fleet.generate(variant.engine, message, SchedulingClass.EVALUATION) as generation:
            positions = await generation.scores()
            return ScoreView(variant=variant.reference, token_count=generation.prompt_tokens, positions=positions)

    def render_metrics(self) -> tuple[bytes, str]:
        incumbents = self._incumbent_engines()
        self.metrics.engines_observed(
            ((Role.INCUMBENT if view.engine_digest in incumbents else Role.CANDIDATE, view) for view in self.engines()),
            on_demand=any(
                self.fleet.on_demand(self._incumbent(deployment).engine) for deployment in self._deployments.values()
            ),
        )
        self.metrics.requests_changed(
            running=sum(engine.line.admission.running_count for engine in self.fleet.engines),
            queued={
                scheduling_class: self.fleet.waiting_count(scheduling_class) for scheduling_class in SchedulingClass
            },
        )
        caches = [engine.prefix_cache for engine in self.fleet.engines]
        self.metrics.memory_observed(
            near_limit=self.fleet.memory.near_limit,
            prefix_cache_held_bytes=sum(cache.held_bytes for cache in caches),
            prefix_cache_stored_bytes=sum(cache.stored_bytes for cache in caches),
        )
        return self.metrics.render()

    # --- variants and engines ---

    async def register_variant(
        self, body: RegisterVariant, *, relative_allowed: bool = False, on_progress: OnProgress = _unwatched
    ) -> VariantView:
        """Make a Variant of a directory, a registered name or a repository. The same content again changes nothing."""
        found = await resolve_source(body.source, known=self._known, relative_allowed=relative_allowed)
        name = body.name
        if isinstance(found, HubRepository):
            name = name or variant_name(found.id)
            found = await fetch_repository(found, on_progress=on_progress, timeout_s=_FETCH_TIMEOUT_S)
        if isinstance(found, Path):
            variant = await asyncio.to_thread(
                read_model_directory,
                found,
                max_rows=self.settings.engine.max_rows,
                digest_cache=self._registry,
                on_progress=on_progress,
                name=name,
            )
        else:
            variant = msgspec.structs.replace(found, name=name) if name else found
        variant = await asyncio.to_thread(
            self._with_options, variant, body, relative_allowed=relative_allowed, on_progress=on_progress
        )
        view = await self._registry.add_variant(variant)
        self._variants[view.digest] = view
        return view

    async def variants(self) -> tuple[VariantView, ...]:
        return await self._registry.variants()

    async def variant(self, reference: str) -> VariantView:
        return await self._registry.variant(reference)

    async def load_engine(self, reference: str) -> EngineView:
        view = await self.variant(reference)
        engine = await self.fleet.ensure(view.variant.engine)
        return self._view_of(engine.spec)

    async def unload_engine(self, reference: str) -> None:
        """Drain and unload. Refused where a Deployment serves it."""
        spec = (await self.variant(reference)).variant.engine
        for deployment in self._deployments.values():
            if self._incumbent(deployment).engine.digest == spec.digest:
                raise GateError(
                    f"{reference} is the incumbent of {deployment.model}; promote another or roll back first.",
                    code=ErrorCode.PROMOTION_REFUSED,
                )
        await self.fleet.retire(spec)

    def engines(self) -> tuple[EngineView, ...]:
        return tuple(self._view_of(engine.spec) for engine in self.fleet.engines)

    # --- deployments, evaluations, promotions ---

    def adopt(self, deployment: Deployment) -> None:
        """Take over a Deployment that was written to the registry at start."""
        self._adopt(deployment)

    async def deployments(self) -> tuple[Deployment, ...]:
        return tuple(self._deployments.values())

    async def deployment(self, model: str) -> Deployment:
        return routing.deployment_of(model, self._deployments.values())

    async def record_evaluation(self, evaluation: Evaluation) -> EvaluationSummary:
        """Record for good what canary measured. Whether it promotes anything is asked at a promotion."""
        await self.deployment(evaluation.model)
        for system in evaluation.systems:
            if system.variant.digest not in self._variants:
                raise EvaluationInvalid(
                    f"The evaluation names {system.variant.reference}, which is not registered here.", param="systems"
                )
        summary = await self._registry.add_evaluation(evaluation)
        self.metrics.evaluation_recorded(evaluation)
        _log.info(
            "evaluation_recorded",
            evaluation=summary.id,
            model=summary.model,
            suite=summary.suite,
            outcomes={candidate.reference: candidate.outcome for candidate in summary.candidates},
        )
        return summary

    async def evaluations(self) -> tuple[EvaluationSummary, ...]:
        return await self._registry.evaluations()

    async def evaluation(self, evaluation_id: str) -> Evaluation:
        return await self._registry.evaluation(evaluation_id)

    async def promote(self, body: PromotionRequest) -> PromotionView:
        """Change an incumbent by an Evaluation, by override or back; new requests go to the new engine from then on."""
        before = await self.deployment(body.model)
        view = await self._promotions.run(body, before, now=datetime.now(UTC))
        self.metrics.promotion_finished(view.promotion)
        self._adopt(view.deployment)
        _log.info(
            "promotion_finished",
            model=body.model,
            kind=view.promotion.kind,
            from_variant=view.promotion.from_variant,
            to_variant=view.promotion.to_variant,
            revision=view.deployment.revision,
        )
        old = self._incumbent(before).engine
        if old.digest not in self._incumbent_engines():
            self.fleet.retire(old)
        return view

    async def promotions(self, model: str | None) -> tuple[Promotion, ...]:
        return await self._registry.promotions(model)

    # --- inside ---

    def _with_options(
        self, variant: Variant, body: RegisterVariant, *, relative_allowed: bool, on_progress: OnProgress
    ) -> Variant:
        """Return the Variant with the adapter, draft and cache that the body declares. Blocks."""
        engine = with_options(
            variant.engine,
            body,
            relative_allowed=relative_allowed,
            digest_cache=self._registry,
            on_progress=on_progress,
        )
        name = variant.name
        if body.name is None and body.adapter is not None:
            name = f"{name}-{variant_name(body.adapter)}"
        return msgspec.structs.replace(variant, name=name, engine=engine)

    def _adopt(self, deployment: Deployment) -> None:
        self._deployments[deployment.model] = deployment
        incumbent = self._incumbent(deployment)
        self.metrics.incumbent_changed(model=deployment.model, variant=incumbent.name, digest=incumbent.digest)

    def _incumbent(self, deployment: Deployment) -> Variant:
        return self._variants[deployment.incumbent].variant

    def _incumbent_engines(self) -> set[str]:
        return {self._incumbent(deployment).engine.digest for deployment in self._deployments.values()}

    async def _known(self, reference: str) -> Variant | None:
        try:
            return (await self._registry.variant(reference)).variant
        except NotFound:
            return None

    def _problem(self, spec: EngineSpec) -> str:
        engine = self.fleet.find(spec)
        if engine is None:
            return "" if self.fleet.on_demand(spec) else "its engine is not loaded"
        return "" if engine.state is EngineState.READY else f"its engine is {engine.state}. {engine.detail}".rstrip()

    def _view_of(self, spec: EngineSpec) -> EngineView:
        engine = self.fleet.find(spec)
        if engine is None:
            raise NotFound("The engine was unloaded meanwhile.")
        references = tuple(
            view.reference for view in self._variants.values() if view.variant.engine.digest == spec.digest
        )
        return engine.view(variants=references, predicted_bytes=self.fleet.predicted_bytes(spec))

    def _note_exit(self, spec: EngineSpec, exit_: ProcessExit) -> None:
        role = Role.INCUMBENT if spec.digest in self._incumbent_engines() else Role.CANDIDATE
        self.metrics.engine_restarted(role=role, reason=exit_.reason)
        _log.error("engine_exited", engine=spec.digest, role=role, detail=exit_.sentence)

    async def _keep_house(self) -> None:
        engine = self.settings.engine
        limits_s = (engine.idle_unload_s, engine.incumbent_idle_unload_s or engine.idle_unload_s)
        interval_s = min(_HOUSEKEEPING_INTERVAL_S, *limits_s)
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(interval_s)
                self.fleet.retire_idle(incumbents=self._incumbent_engines())


def _unix_time(rfc3339: str) -> int:
    return int(datetime.fromisoformat(rfc3339).timestamp())
