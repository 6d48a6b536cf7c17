"""An evaluation from the command's arguments to the record, and the promotion that may follow it."""

import enum
import os
import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from canary.awake import kept_awake
from canary.client import GatewayClient
from canary.earlier import earlier_trials, run_key
from canary.environment import read_environment, with_host
from canary.errors import GatewayRefused, GatewayUnavailable, PromotionFailed, UsageError
from canary.following import Following
from canary.in_turn import BLOCKS, run_in_turn
from canary.judge import FIDELITY, judge, rejected
from canary.phases.apart import measure_apart
from canary.phases.fidelity import with_fidelity
from canary.phases.latency import planned_latency
from canary.posting import PostedProgress, Progress
from canary.runner import Pace, PlannedTrial, Trier, plan_trials, run_trials, trials_at_once
from canary.stage import InTurn, Lineup, Stage, set_stage
from canary.suite import Suite, with_heldout
from canary.trial_log import TrialLog
from gateway.contracts.admin import EngineView, PromotionRequest, VariantView
from gateway.contracts.deployments import Deployment, PromotionOutcome
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Evaluation, Judgement, Mode, Outcome, Role, System, Trial
from gateway.contracts.host import Host, HostRecord
from gateway.contracts.progress import RunPhase
from gateway.contracts.winner import choose_winner

_USAGE_CODES = frozenset({ErrorCode.MODEL_UNREADABLE, ErrorCode.VARIANT_NOT_FOUND, ErrorCode.MODEL_NOT_FOUND})


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is carried out; the defaults are those of the command line, but for the log."""

    mode: Mode | None = None
    """None: beside each other where they fit, else in turn."""
    window_s: float | None = None
    """Of one loan of the memory; None takes the mode's default."""
    log_directory: Path | None = None
    """Where the trials are kept until the run is recorded; None keeps none."""
    fresh: bool = False
    """Start over, and take no trial of an earlier run."""


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
    gateway: GatewayClient,
    lineup: Lineup,
    suite: Suite,
    *,
    engines: ExitStack,
    progress: Progress,
    options: RunOptions | None = None,
) -> Evaluation:
    """Judge the candidates against the incumbent, record the Evaluation and return it.

    What this loads stays loaded until `engines` closes, which unloads all but the one that serves by then.
    """
    options = options or RunOptions()
    awake = engines.enter_context(kept_awake(gateway.url))
    loaded_before = {engine.engine_digest for engine in gateway.engines()}
    suite = _with_heldout(gateway, lineup, suite, progress)
    with PostedProgress(gateway, lineup, suite.manifest.name, progress) as posted:
        stage = set_stage(
            gateway, lineup, mode=options.mode, window_s=options.window_s, engines=engines, note=posted.note
        )
        systems = tuple(
            _system(view, stage.engine(position), Role.CANDIDATE if position else Role.INCUMBENT)
            for position, view in enumerate(lineup.views)
        )
        host = gateway.host()
        empty = _empty_record(lineup, suite, systems, stage.mode)
        posted.enter(RunPhase.FIDELITY)
        empty = with_fidelity(gateway, empty, suite, environ=os.environ, bring=stage.bring, note=posted.note)
        with _trier(gateway, lineup, suite, empty, host, options=options, note=posted.note) as trier:
            posted.enter(RunPhase.TRIALS)
            tried = msgspec.structs.replace(empty, trials=_trials(gateway, trier, empty, suite, stage, posted))
            loaded = frozenset(system.variant.engine.digest for system in systems) - loaded_before
            if isinstance(stage, InTurn):
                loaded = frozenset[str]()  # what has the memory on loan is unloaded by its end alone
            posted.enter(RunPhase.MEASURING)
            measured = with_host(
                measure_apart(gateway, tried, suite, loaded=loaded, bring=stage.bring, note=posted.note),
                HostRecord(start=host, end=gateway.host(), kept_awake_by=awake.by),
            )
            posted.enter(RunPhase.JUDGING)
            now = datetime.now(UTC)
            evaluation = msgspec.structs.replace(
                measured,
                id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
                created_at=now.isoformat(timespec="seconds"),
                judgements=judge(measured),
            )
            gateway.record(evaluation)
            trier.forget()
    return evaluation


def _trials(
    gateway: GatewayClient, trier: Trier, empty: Evaluation, suite: Suite, stage: Stage, progress: Progress
) -> tuple[Trial, ...]:
    """Run the trials, and no more of a candidate once the judge's rule has stopped for it."""
    plan = _worth_running(plan_trials(suite, empty.systems), empty)
    progress.note(f"Running {len(plan)} trials of {suite.manifest.name}, {len(suite.cases)} cases.")
    settled = Following(empty, progress.on_case)
    pace = Pace(gateway, trials_at_once(suite, empty.systems, gateway.engines()))
    if isinstance(stage, InTurn):
        blocks = 1 if suite.manifest.profile == "seed" else BLOCKS  # each costs two loads of every system
        return run_in_turn(
            trier, plan, stage=stage, blocks=blocks, pace=pace, on_trial=progress.on_trial, settled=settled
        )
    trier.warm_up(plan)
    return tuple(run_trials(trier, plan, on_trial=progress.on_trial, settled=settled, pace=pace))


@contextmanager
def _trier(
    gateway: GatewayClient,
    lineup: Lineup,
    suite: Suite,
    empty: Evaluation,
    host: Host,
    *,
    options: RunOptions,
    note: Callable[[str], None],
) -> Generator[Trier]:
    """Yield what tries, with the trials that there are already: of this run if it was killed, and of earlier ones."""
    now = datetime.now(UTC)
    max_age_s = lineup.deployment.gate.max_age_s
    earlier = {} if options.fresh else earlier_trials(gateway, empty, suite, host, max_age_s=max_age_s, now=now)
    if earlier:
        note(f"{len(earlier)} trials of the incumbent are taken from earlier evaluations (--fresh runs them again).")
    with ExitStack() as stack:
        log = None
        if options.log_directory is not None:
            key = run_key(gateway.url, empty, host)
            log = stack.enter_context(
                TrialLog(options.log_directory, key, max_age_s=max_age_s, now_s=now.timestamp(), fresh=options.fresh)
            )
            if log.kept:
                note(f"Going on with {len(log.kept)} trials of a run that was broken off (--fresh starts over).")
        yield Trier(gateway, suite, model=lineup.deployment.model, earlier=earlier, log=log)


def _worth_running(plan: Sequence[PlannedTrial], record: Evaluation) -> tuple[PlannedTrial, ...]:
    """Leave out the candidates whose builds are shown to be broken; where that leaves none, there is nothing to run."""
    broken = rejected(record)
    if all(system.variant.digest in broken for system in record.candidates):
        return ()
    return tuple(planned for planned in plan if planned.system.variant.digest not in broken)


def _empty_record(lineup: Lineup, suite: Suite, systems: tuple[System, ...], mode: Mode) -> Evaluation:
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
        latency=planned_latency(suite),
        mode=mode,
        compared_while=None if lineup.is_served(0) else lineup.deployment.incumbent,
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


def line_up_pair(gateway: GatewayClient, deployment: Deployment, reference: str, candidate: str) -> Lineup:
    """Give the incumbent's role to a variant that need not serve, against which the other is judged."""
    return Lineup(
        deployment=deployment, incumbent=register(gateway, reference), candidates=(register(gateway, candidate),)
    )


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


def _system(view: VariantView, engine: EngineView, role: Role) -> System:
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


def _reasons(judgement: Judgement) -> tuple[str, ...]:
    """Return the reasons of the criteria that decided, each under its name."""
    if judgement.fidelity is not None and judgement.fidelity.rejected:
        return tuple(f"{FIDELITY}: {finding}" for finding in judgement.fidelity.findings)
    decided_by = judgement.verdict.decided_by
    return tuple(
        f"{result.criterion.name}: {result.reason}"
        for result in judgement.results
        if result.required and result.criterion.name in decided_by
    ) or ("no required criterion was judged",)
