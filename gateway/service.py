"""What the gateway does, without HTTP: route and run requests, register and load variants, record and promote."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path

import msgspec
import structlog

from gateway import routing
from gateway.archive import Archive, require_files
from gateway.builds import Builds
from gateway.choices import Choices, OneChoice, choice_submit, run_choices
from gateway.completions import completion_submits
from gateway.contracts.admin import (
    ArchiveView,
    EngineState,
    EngineView,
    EvaluationSummary,
    LoanRequest,
    LoanView,
    PromotionRequest,
    PromotionView,
    RegisterVariant,
    VariantView,
)
from gateway.contracts.chat import ChatRequest, ModelCard
from gateway.contracts.completions import CompletionRequest
from gateway.contracts.deployments import Deployment, Promotion
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Evaluation, Role
from gateway.contracts.progress import RunProgress
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.scoring import ScoreRequest, ScoreView
from gateway.contracts.tokens import DetokenizeRequest, DetokenizeView, TokenizeRequest, TokenizeView
from gateway.contracts.variants import EngineSpec, Variant
from gateway.errors import EvaluationInvalid, GateError, NotFound, NotReady
from gateway.finished_requests import FinishedRequests
from gateway.fleet.failure import Failure
from gateway.fleet.fleet import Fleet
from gateway.fleet.generation import Generation, Terms
from gateway.fleet.jobs import unwatched
from gateway.fleet.line import Claim, Rerouted
from gateway.fleet.swap import SwapPoint, unobserved
from gateway.issued_keys import IssuedKeys
from gateway.keys import KeyRing, check_reach
from gateway.loans import Loans
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
from gateway.response_store import ResponseStore
from gateway.runs import Runs
from gateway.scoring import check_request, score_message
from gateway.settings import Settings
from gateway.submission import submit_of
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.request_id import of_request
from gateway.tokens import chat_message, detokenize_message, tokenize_message
from gateway.watching import Watcher
from gateway.wire import Detokenize, Submit, Tokenize, Tokenized

_log = structlog.get_logger()

_FETCH_TIMEOUT_S = 24 * 3600.0
"""A download of tens of gigabytes is long and is watched by whoever asked for it."""
_HOUSEKEEPING_INTERVAL_S = 15.0
_RETRY_LOAD_S = 10.0
_RETRY_AFTER_SHUTDOWN_S = 5.0
"""A supervisor starts it again, and a model is loaded."""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    ready: bool
    detail: str
    engines: tuple[EngineView, ...]


class Gateway:
    """One machine's gateway, from `start` to `close`. It is the only writer of its registry."""

    def __init__(
        self,
        settings: Settings,
        *,
        registry: Registry,
        keys: KeyRing,
        metrics: Metrics,
        environ: Mapping[str, str],
        at_swap_point: Callable[[SwapPoint], None] = unobserved,
    ) -> None:
        """`at_swap_point` is called at each point that a swap reaches."""
        self.settings = settings
        self.keys = keys
        self.issued_keys = IssuedKeys(registry, keys)
        self.metrics = metrics
        self.fleet = Fleet(settings, environ=environ, on_failure=self._note_failure, metrics=metrics)
        self.responses = ResponseStore(settings.responses)
        self.runs = Runs(timeout_s=settings.metrics.progress_timeout_s)
        self.finished_requests = FinishedRequests()
        self.builds = Builds(
            Path(settings.state_dir), digest_cache=registry, known=self._known, check_room=self.fleet.check_room
        )
        self._registry = registry
        self._environ = environ
        self._deployments: dict[str, Deployment] = {}
        self._variants: dict[str, VariantView] = {}
        self._promotions = Promotions(
            registry, self.fleet, self, settings=settings.swap, metrics=metrics, at=at_swap_point
        )
        self._loans = Loans(self.fleet, self, self._promotions, settings=settings.swap, at=at_swap_point)
        self._archive = Archive(
            registry,
            is_loaded=lambda spec: self.fleet.find(spec) is not None,
            incumbents=self.incumbents,
            one_at_a_time=self._promotions.one_at_a_time,
            settings=settings.archive,
            state_dir=Path(settings.state_dir),
        )
        self._request_numbers = itertools.count(1)
        self._closing = False
        self.started_s = time.monotonic()
        self.watcher = Watcher(self.fleet, self.finished_requests)
        self._housekeeping: asyncio.Task[None] | None = None

    # --- life cycle ---

    async def start(self) -> None:
        """Read the registry. Engines are loaded by `load_incumbents`, so that /health answers meanwhile.

        Raises StartError where others could reach it and there is no key.
        """
        await self.issued_keys.load()
        check_reach(self.settings, self.keys)
        self._variants = {view.digest: view for view in await self._registry.variants()}
        for deployment in await self._registry.deployments():
            self._adopt(deployment)
        limit = self.settings.metrics.max_label_values
        self.metrics.evaluations.restored(await self._registry.last_evaluations(limit=limit))
        self._housekeeping = asyncio.create_task(self._keep_house())
        self.watcher.start()

    async def load_incumbents(self) -> None:
        """Load the engine of every Deployment. Raises what the first failure is."""
        for deployment in self._deployments.values():
            await self.fleet.ensure(self._incumbent(deployment).engine)
            _log.info("deployment_ready", model=deployment.model, variant=self._incumbent(deployment).reference)

    async def close(self, *, at_once: bool = False) -> None:
        """End the engines, politely unless at once; the server has let the requests end, or has cut them."""
        self.stop_admitting()
        await self.builds.close()
        await self._loans.stop()
        await self._promotions.stop()
        await self.watcher.stop()
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            await asyncio.wait([self._housekeeping])
        await self.fleet.close(at_once=at_once)

    def stop_admitting(self) -> None:
        """Refuse requests from now on, also those that wait for a swap; those that have an engine's yes go on."""
        self._closing = True
        self.fleet.stop_admitting(_shutting_down())
        self._loans.give_up()
        self._promotions.give_up()

    def hurry(self) -> None:
        """End the engines at once, where `close` is waiting for them."""
        self.fleet.hurry()

    def cut(self) -> None:
        """Tell every request that is still here that the gateway ends."""
        self.fleet.cut(_shutting_down())

    def readiness(self) -> Readiness:
        """Ready means: every Deployment's incumbent can take a request now, or is loaded when one comes."""
        problems = [
            f"{deployment.model}: {problem}"
            for deployment in self._deployments.values()
            if (problem := self.problem_of(self._incumbent(deployment).engine))
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
        pinned = (await self._usable(pin)).variant if pin is not None else None
        return routing.choose(deployment, self._incumbent(deployment), pinned, callers_class)

    @asynccontextmanager
    async def generate(
        self, route: routing.Route, request: ChatRequest | CompletionRequest
    ) -> AsyncGenerator[tuple[routing.Route, Choices | OneChoice]]:
        """Run the request. Entering waits for the engine's yes, leaving early cancels.

        Where the model's incumbent changes before the request has a row, the new one answers, unless the request is
        pinned: what is yielded says by which route.
        """
        claim = Claim(movable=not route.pinned)
        async with AsyncExitStack() as stack:
            while True:
                self._require_open()
                # Also at first: since the caller asked for the route, the incumbent may have changed.
                route = self._routed_now(route)
                try:
                    choices = await stack.enter_async_context(self._run(route, request, claim))
                    break
                except Rerouted:
                    continue
            yield route, choices

    @asynccontextmanager
    async def _run(
        self, route: routing.Route, request: ChatRequest | CompletionRequest, claim: Claim
    ) -> AsyncGenerator[Choices | OneChoice]:
        submits = _routed_submits(route, request)
        per_prompt = request.n or 1

        def open_choice(index: int) -> AbstractAsyncContextManager[Generation]:
            submit = submits[index // per_prompt]
            times = self.metrics.requests.token_times(
                model=route.model, role=route.role, scheduling_class=route.scheduling_class
            )
            terms = Terms(whole=not request.stream, runs_again=not route.pinned, times=times)
            one = choice_submit(submit, index % per_prompt, request_id=str(next(self._request_numbers)))
            of_choice = claim if index == 0 else Claim(bound=True)
            return self.fleet.generate(route.variant.engine, one, route.scheduling_class, terms, of_choice)

        async with run_choices(open_choice, len(submits) * per_prompt, prompts=len(submits)) as choices:
            with self.fleet.stay(route.variant.engine):
                yield choices

    async def score(self, body: ScoreRequest) -> ScoreView:
        """Score a given text with a Variant's engine, which is loaded for it where need be."""
        check_request(body)
        claim = Claim(movable=body.variant is None)
        while True:
            self._require_open()
            try:
                return await self._score(body, claim)
            except Rerouted:
                continue

    async def _score(self, body: ScoreRequest, claim: Claim) -> ScoreView:
        if body.variant is not None:
            variant = (await self._usable(body.variant)).variant
        else:  # nothing is awaited from here on until the request is with its engine, whose turn may be over
            variant = self._incumbent(routing.deployment_of(body.model or "", self._deployments.values()))
        message = score_message(str(next(self._request_numbers)), variant, body)
        terms = Terms(whole=True, runs_again=body.variant is None)
        evaluation = SchedulingClass.EVALUATION
        async with self.fleet.generate(variant.engine, message, evaluation, terms, claim) as generation:
            positions = await generation.scores()
            return ScoreView(variant=variant.reference, token_count=generation.prompt_tokens, positions=positions)

    async def tokenize(self, route: routing.Route, body: TokenizeRequest) -> tuple[routing.Route, TokenizeView]:
        """Return the tokens of a text or of messages, and by which route they were made."""
        route, answer = await self._tokenized(route, lambda number, of: tokenize_message(number, of, body))
        max_model_len = route.variant.engine.context_length
        return route, TokenizeView(tokens=answer.tokens, count=len(answer.tokens), max_model_len=max_model_len)

    async def detokenize(self, route: routing.Route, body: DetokenizeRequest) -> tuple[routing.Route, DetokenizeView]:
        """Return the text of tokens, and by which route it was made."""
        route, answer = await self._tokenized(route, lambda number, of: detokenize_message(number, of, body))
        return route, DetokenizeView(prompt=answer.text)

    async def count_tokens(self, route: routing.Route, chat: ChatRequest) -> tuple[routing.Route, int]:
        """Return of how many tokens a chat's prompt is, and by which route they were counted."""
        route, answer = await self._tokenized(route, lambda number, of: chat_message(number, of, chat))
        return route, len(answer.tokens)

    async def _tokenized(
        self, route: routing.Route, message_of: Callable[[str, Variant], Tokenize | Detokenize]
    ) -> tuple[routing.Route, Tokenized]:
        claim = Claim(movable=not route.pinned)
        terms = Terms(whole=True, runs_again=not route.pinned)
        while True:
            self._require_open()
            route = self._routed_now(route)
            message = message_of(str(next(self._request_numbers)), route.variant)
            engine, of_class = route.variant.engine, route.scheduling_class
            try:
                async with self.fleet.generate(engine, message, of_class, terms, claim) as generation:
                    return route, generation.tokenized()
            except Rerouted:
                continue

    # --- variants and engines ---

    async def register_variant(
        self, body: RegisterVariant, *, relative_allowed: bool = False, on_progress: OnProgress = unwatched
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

    async def archive_variant(self, reference: str, *, dry_run: bool) -> ArchiveView:
        """Remove a Variant's files, or say what would go; refused where anything needs them."""
        archived = await self._archive.archive(await self.variant(reference), dry_run=dry_run)
        if not dry_run:
            self._variants[archived.variant.digest] = archived.variant
        return archived

    async def load_engine(self, reference: str) -> EngineView:
        view = await self._usable(reference)
        if self.fleet.is_exchanged(view.variant.engine):
            raise NotReady("The engine is being exchanged for another; ask again later.", retry_after_s=_RETRY_LOAD_S)
        engine = await self.fleet.ensure(view.variant.engine)
        return self._view_of(engine.spec)

    async def unload_engine(self, reference: str) -> None:
        """Drain and unload. Refused where a Deployment serves it."""
        spec = (await self.variant(reference)).variant.engine

        def check() -> None:
            for deployment, incumbent in self.incumbents():
                if incumbent.engine.digest == spec.digest:
                    raise GateError(
                        f"{reference} is the incumbent of {deployment.model}; promote another or roll back first.",
                        code=ErrorCode.PROMOTION_REFUSED,
                    )

        await self._promotions.unload(spec, check=check)

    async def lend(self, body: LoanRequest) -> LoanView:
        """Load a Variant's engine in the place of the incumbent's, where both do not fit, until the loan ends."""
        await self.deployment(body.model)
        return await self._loans.lend(body, await self._usable(body.variant))

    async def end_loan(self) -> None:
        """Return when the incumbent serves again."""
        await self._loans.end()

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
        self.metrics.evaluations.recorded(evaluation)
        _log.info(
            "evaluation_recorded",
            **of_request(),
            evaluation=summary.id,
            model=summary.model,
            suite=summary.suite,
            outcomes={candidate.reference: candidate.outcome for candidate in summary.candidates},
        )
        return summary

    async def note_progress(self, progress: RunProgress) -> None:
        """Note how far an evaluation is that goes on: `runs` shows it until it ends."""
        await self.deployment(progress.model)
        self.runs.hear(progress)

    async def evaluations(self) -> tuple[EvaluationSummary, ...]:
        return await self._registry.evaluations()

    async def evaluation(self, evaluation_id: str) -> Evaluation:
        return await self._registry.evaluation(evaluation_id)

    async def promote(self, body: PromotionRequest) -> PromotionView:
        """Change an incumbent by an Evaluation, by override or back; new requests go to the new engine from then on."""
        await self.deployment(body.model)
        return await self._promotions.run(body)

    def incumbents(self) -> Iterable[tuple[Deployment, Variant]]:
        return [(deployment, self._incumbent(deployment)) for deployment in self._deployments.values()]

    def switch(self, deployment: Deployment, incumbent: VariantView) -> None:
        """Send the model's requests to another incumbent from now on."""
        self._variants[incumbent.digest] = incumbent
        self._adopt(deployment)

    async def promotions(self, model: str | None) -> tuple[Promotion, ...]:
        return await self._registry.promotions(model)

    async def refusals(self, model: str, target: VariantView, evaluation_id: str) -> tuple[str, ...]:
        return await self._promotions.refusals(model, target, evaluation_id)

    async def rollback_target(self, model: str) -> VariantView | None:
        """Return the Variant that a rollback goes back to; None where there is none."""
        try:
            return await self._registry.variant(await self._registry.previous_incumbent(model))
        except (GateError, NotFound):
            return None

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
        self.metrics.deployments.incumbent_changed(
            model=deployment.model, variant=incumbent.name, digest=incumbent.digest
        )

    def _incumbent(self, deployment: Deployment) -> Variant:
        return self._variants[deployment.incumbent].variant

    def _incumbent_engines(self) -> set[str]:
        return {self._incumbent(deployment).engine.digest for deployment in self._deployments.values()}

    def _routed_now(self, route: routing.Route) -> routing.Route:
        """Return the route that the request has at this moment, which is the same where nothing has changed."""
        deployment = routing.deployment_of(route.model, self._deployments.values())
        if route.pinned or route.variant.digest == deployment.incumbent:
            return route
        anew = routing.choose(deployment, self._incumbent(deployment), None, route.scheduling_class)
        return msgspec.structs.replace(anew, prefix_cache=route.prefix_cache)

    def _require_open(self) -> None:
        if self._closing:
            raise _shutting_down()

    async def _usable(self, reference: str) -> VariantView:
        """Return a Variant whose files are there. Raises NotFound, GateError (VARIANT_ARCHIVED)."""
        return require_files(await self.variant(reference))

    async def _known(self, reference: str) -> Variant | None:
        try:
            return (await self._usable(reference)).variant
        except NotFound:
            return None

    def problem_of(self, spec: EngineSpec) -> str:
        """Return why the engine of this spec cannot take a request now; nothing where it can, or is loaded for it."""
        if self.fleet.is_exchanged(spec):
            return "its engine is being exchanged; requests wait"
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

    def _note_failure(self, spec: EngineSpec, failure: Failure) -> None:
        role = Role.INCUMBENT if spec.digest in self._incumbent_engines() else Role.CANDIDATE
        self.metrics.engines.failed(role=role, reason=failure.reason, restarts=failure.restart_in_s is not None)
        _log.error("engine_failed", engine=spec.digest, role=role, **msgspec.to_builtins(failure))

    async def _keep_house(self) -> None:
        engine = self.settings.engine
        limits_s = (engine.idle_unload_s, engine.incumbent_idle_unload_s or engine.idle_unload_s)
        interval_s = min(_HOUSEKEEPING_INTERVAL_S, *limits_s)
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(interval_s)
                self.fleet.retire_idle(incumbents=self._incumbent_engines())
                self.responses.expire()


def _routed_submits(route: routing.Route, request: ChatRequest | CompletionRequest) -> list[Submit]:
    """Return one for each prompt, of which a chat has one. Raises InvalidRequest."""
    if isinstance(request, CompletionRequest):
        submits = completion_submits(route.variant, request)
    else:
        submits = (submit_of("", route.variant, request),)
    urgent = route.scheduling_class is SchedulingClass.INTERACTIVE
    return [msgspec.structs.replace(it, prefix_cache=route.prefix_cache, urgent=urgent) for it in submits]


def _shutting_down() -> NotReady:
    return NotReady(
        "The gateway is shutting down.", code=ErrorCode.SHUTTING_DOWN, retry_after_s=_RETRY_AFTER_SHUTDOWN_S
    )


def _unix_time(rfc3339: str) -> int:
    return int(datetime.fromisoformat(rfc3339).timestamp())
