"""An evaluation from the command's arguments to the record, and the promotion that may follow it."""

import enum
import itertools
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from canary.client import GatewayClient
from canary.environment import read_environment
from canary.errors import CanaryError, GatewayRefused, GatewayUnavailable, PromotionFailed, UsageError
from canary.judge import judge, stopped
from canary.runner import plan_trials, run_trials, warm_up
from canary.suite import Suite, with_heldout
from canary.winner import choose_winner
from gateway.contracts.admin import EngineView, PromotionRequest, VariantView
from gateway.contracts.deployments import Deployment, PromotionOutcome
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Evaluation, Judgement, Outcome, Role, System, Trial

_USAGE_CODES = frozenset({ErrorCode.MODEL_UNREADABLE, ErrorCode.VARIANT_NOT_FOUND, ErrorCode.MODEL_NOT_FOUND})


class Progress(Protocol):
    def note(self, sentence: str) -> None: ...

    def on_trial(self, trial: Trial, total: int) -> None: ...


class Lineup(msgspec.Struct, frozen=True, kw_only=True):
    """Who is judged against whom."""

    deployment: Deployment
    incumbent: VariantView
    candidates: tuple[VariantView, ...]


class Fate(enum.StrEnum):
    PROMOTED = "promoted"
    PASSED = "passed, not promoted"
    REFUSED = "refused"


class CandidateFate(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one candidate of a promotion."""

    reference: str
    fate: Fate
    reasons: tuple[str, ...] = ()


def evaluate(
    gateway: GatewayClient, lineup: Lineup, suite: Suite, *, engines: ExitStack, progress: Progress
) -> Evaluation:
    """Judge the candidates against the incumbent, record the Evaluation and return it.

    Candidates that this loads stay loaded until `engines` closes, which unloads all but the one that serves by then.
    """
    suite = _with_heldout(gateway, lineup, suite, progress)
    incumbent = _load(gateway, lineup.incumbent, Role.INCUMBENT, lineup, engines=engines, progress=progress)
    candidates = [
        _load(gateway, candidate, Role.CANDIDATE, lineup, engines=engines, progress=progress)
        for candidate in lineup.candidates
    ]
    systems = (incumbent, *candidates)

    plan = plan_trials(suite, systems)
    progress.note(f"Running {len(suite.cases)} cases of {suite.manifest.name} on {len(systems)} systems.")
    model = lineup.deployment.model
    warm_up(gateway, plan, suite, model=model)
    empty = _empty_record(lineup, suite, systems)

    def settled(trials: Sequence[Trial]) -> tuple[System, ...]:
        have_stopped = stopped(msgspec.structs.replace(empty, trials=tuple(trials)))
        if all(have_stopped):
            return systems
        return tuple(itertools.compress(candidates, have_stopped))

    trials = run_trials(gateway, plan, suite, model=model, on_trial=progress.on_trial, settled=settled)
    measured = msgspec.structs.replace(empty, trials=tuple(trials))
    now = datetime.now(UTC)
    evaluation = msgspec.structs.replace(
        measured,
        id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        created_at=now.isoformat(timespec="seconds"),
        judgements=judge(measured),
    )
    gateway.record(evaluation)
    return evaluation


def _empty_record(lineup: Lineup, suite: Suite, systems: tuple[System, ...]) -> Evaluation:
    """Return the record of the run as it stands before its first trial; it gets its name when it has ended."""
    return Evaluation(
        id="",
        created_at="",
        model=lineup.deployment.model,
        deployment_revision=lineup.deployment.revision,
        suite=suite.reference(),
        profile=suite.manifest.profile,
        criteria=suite.manifest.effective_criteria(),
        min_pairs=suite.manifest.min_pairs,
        seed=suite.manifest.seed,
        environment=read_environment(),
        cases=tuple(case.reference() for case in suite.cases),
        systems=systems,
        trials=(),
        judgements=(),
    )


def _with_heldout(gateway: GatewayClient, lineup: Lineup, suite: Suite, progress: Progress) -> Suite:
    """Draw the cases that the suite holds back, if it does. Every recorded run is a campaign: none is drawn twice."""
    if not suite.draws_heldout:
        return suite
    model, name = lineup.deployment.model, suite.manifest.name
    campaign = 1 + sum((each.model, each.suite) == (model, name) for each in gateway.evaluations())
    progress.note(f"Drawing the held-out cases of campaign {campaign}.")
    return with_heldout(suite, incumbent_digest=lineup.incumbent.digest, campaign=campaign)


def line_up(gateway: GatewayClient, deployment: Deployment, sources: Sequence[str]) -> Lineup:
    """Register the candidates. Raises UsageError where one cannot be found or read, or is given twice."""
    candidates = tuple(register(gateway, source) for source in sources)
    seen: dict[str, str] = {}
    for source, candidate in zip(sources, candidates, strict=True):
        if candidate.digest in seen:
            raise UsageError(f"{source} and {seen[candidate.digest]} are one variant, {candidate.reference}: give one")
        seen[candidate.digest] = source
    return Lineup(deployment=deployment, incumbent=gateway.variant(deployment.incumbent), candidates=candidates)


def without_incumbent(lineup: Lineup, progress: Progress) -> Lineup:
    """Leave out the candidate that serves already. Raises PromotionFailed where that leaves none."""
    kept = tuple(candidate for candidate in lineup.candidates if candidate.digest != lineup.incumbent.digest)
    sentence = f"{lineup.incumbent.reference} is already the incumbent of {lineup.deployment.model}"
    if not kept:
        raise PromotionFailed(f"{sentence}: nothing to promote")
    if len(kept) < len(lineup.candidates):
        progress.note(f"{sentence}: left out.")
    return msgspec.structs.replace(lineup, candidates=kept)


def find_deployment(gateway: GatewayClient, model: str | None) -> Deployment:
    """Return the Deployment of a public name, which may be left out where there is one."""
    deployments = {deployment.model: deployment for deployment in gateway.deployments()}
    names = ", ".join(sorted(deployments)) or "none"
    if model is None:
        if len(deployments) != 1:
            raise UsageError(f"say which model with --for: {gateway.url} has {names}")
        return next(iter(deployments.values()))
    if model not in deployments:
        raise UsageError(f"{gateway.url} deploys no model {model!r}; it has: {names}")
    return deployments[model]


def find_evaluation(gateway: GatewayClient, evaluation_id: str) -> Evaluation:
    try:
        return gateway.evaluation(evaluation_id)
    except GatewayRefused as error:
        if error.code == ErrorCode.NOT_FOUND:
            raise UsageError(f"{error} (`canary history` lists the evaluations)") from error
        raise


def register(gateway: GatewayClient, source: str) -> VariantView:
    """Register a candidate; a path is made absolute, for the gateway works in another directory."""
    is_path = source.startswith((".", "/")) or Path(source).is_dir()
    try:
        return gateway.register(str(Path(source).resolve()) if is_path else source)
    except GatewayRefused as error:
        if error.code in _USAGE_CODES:
            raise UsageError(str(error)) from error
        raise


def promote_winner(
    gateway: GatewayClient, evaluation: Evaluation, *, cut_streams: bool = False
) -> tuple[CandidateFate, ...]:
    """Promote the best candidate that passed, if one did, and say what became of each, in the order given."""
    winner = choose_winner(evaluation)
    refusal = None if winner is None else _promote(gateway, evaluation, winner, cut_streams=cut_streams)
    fates: list[CandidateFate] = []
    for system, judgement in zip(evaluation.candidates, evaluation.judgements, strict=True):
        if judgement.verdict.outcome is not Outcome.PASSED:
            fate, reasons = Fate.REFUSED, _reasons(judgement)
        elif system is not winner:
            fate, reasons = Fate.PASSED, ()
        else:
            fate, reasons = (Fate.PROMOTED, ()) if refusal is None else (Fate.REFUSED, (refusal,))
        fates.append(CandidateFate(reference=system.variant.reference, fate=fate, reasons=reasons))
    return tuple(fates)


def promote_by_override(gateway: GatewayClient, lineup: Lineup, reason: str, *, cut_streams: bool = False) -> None:
    """Make the one candidate the incumbent without an Evaluation; the audit log keeps the reason."""
    request = PromotionRequest(
        model=lineup.deployment.model,
        expected_revision=lineup.deployment.revision,
        variant=lineup.candidates[0].digest,
        override_reason=reason,
        cut_streams=cut_streams,
    )
    if refusal := _request_promotion(gateway, request):
        raise PromotionFailed(refusal)


def roll_back(gateway: GatewayClient, deployment: Deployment, *, cut_streams: bool = False) -> str:
    """Return to the previous incumbent and return its reference. Raises PromotionFailed."""
    request = PromotionRequest(
        model=deployment.model, expected_revision=deployment.revision, rollback=True, cut_streams=cut_streams
    )
    if refusal := _request_promotion(gateway, request):
        raise PromotionFailed(refusal)
    return gateway.variant(gateway.deployment(deployment.model).incumbent).reference


def _promote(gateway: GatewayClient, evaluation: Evaluation, winner: System, *, cut_streams: bool) -> str | None:
    request = PromotionRequest(
        model=evaluation.model,
        expected_revision=evaluation.deployment_revision,
        variant=winner.variant.digest,
        evaluation_id=evaluation.id,
        cut_streams=cut_streams,
    )
    return _request_promotion(gateway, request)


def _request_promotion(gateway: GatewayClient, request: PromotionRequest) -> str | None:
    """Return why the gateway did not do it, or None where it did."""
    try:
        promotion = gateway.promote(request).promotion
    except GatewayRefused as error:
        return str(error)
    except GatewayUnavailable as error:
        raise PromotionFailed(f"whether {request.model} changed is unknown, see `canary history`: {error}") from error
    if promotion.outcome is not PromotionOutcome.DONE:
        return promotion.reason or "the gateway could not bring the engine into service"
    return None


def _load(
    gateway: GatewayClient, view: VariantView, role: Role, lineup: Lineup, *, engines: ExitStack, progress: Progress
) -> System:
    loaded_before = view.variant.engine.digest in {engine.engine_digest for engine in gateway.engines()}
    if not loaded_before:
        progress.note(f"Loading {view.reference}.")
    engine = gateway.load_engine(view.reference)
    if not loaded_before and role is Role.CANDIDATE:
        engines.callback(_unload, gateway, view, lineup.deployment.model, progress)
    return _system(view, role, engine)


def _system(view: VariantView, role: Role, engine: EngineView) -> System:
    if engine.load_time_s is None or engine.active_after_load_bytes is None:
        message = f"the engine of {view.reference} is {engine.state}: {engine.detail}"
        raise GatewayRefused(message, code=ErrorCode.NOT_READY, status=200)
    return System(
        role=role,
        variant=view.variant,
        load_time_s=engine.load_time_s,
        active_bytes=engine.active_after_load_bytes,
        predicted_bytes=view.predicted_bytes,
        disk_bytes=view.variant.engine.disk_bytes,
        dequantised=engine.dequantised,
        device=engine.device,
    )


def _unload(gateway: GatewayClient, view: VariantView, model: str, progress: Progress) -> None:
    """Give the memory back unless the variant serves by now; a failure here must not hide how the run ended."""
    try:
        if gateway.deployment(model).incumbent != view.digest:
            gateway.unload_engine(view.reference)
    except CanaryError as error:
        progress.note(f"{view.reference} stays loaded: {error}")


def _reasons(judgement: Judgement) -> tuple[str, ...]:
    """Return the reasons of the criteria that decided, each under its name."""
    decided_by = judgement.verdict.decided_by
    return tuple(
        f"{result.criterion.name}: {result.reason}"
        for result in judgement.results
        if result.required and result.criterion.name in decided_by
    ) or ("no required criterion was judged",)
