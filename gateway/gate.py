"""What the gateway itself demands of an Evaluation before it lets it promote. Pure: the time is a parameter."""

from collections.abc import Iterator
from datetime import UTC, datetime

from gateway.contracts.deployments import Deployment, GatePolicy
from gateway.contracts.digests import short
from gateway.contracts.evaluations import Criterion, Evaluation, Judgement, Outcome, Rule
from gateway.contracts.heldout import HELDOUT_TAG, HeldoutDraw, draw_digest, heldout_seed
from gateway.contracts.host import Host

CLOCK_SKEW_S = 60.0
"""Two machines' clocks may be this far apart: an Evaluation may come from that much in the future."""


def refusals(
    evaluation: Evaluation, *, candidate_digest: str, deployment: Deployment, now: datetime, host: Host | None = None
) -> tuple[str, ...]:
    """Return why this Evaluation does not promote the candidate, readable; empty means that it may.

    `host` is this machine. Recomputes the verdict from the recorded trials, which imports numpy and scipy: call it off
    the event loop.
    """
    return (
        *_against_deployment(evaluation, candidate_digest, deployment),
        *_against_policy(evaluation, deployment.gate),
        *_against_draw(evaluation, deployment.gate),
        *_against_host(evaluation, host),
        *_against_age(evaluation, deployment.gate, now),
        *_against_verdict(evaluation, candidate_digest),
    )


def _against_deployment(evaluation: Evaluation, candidate_digest: str, deployment: Deployment) -> Iterator[str]:
    if candidate_digest == deployment.incumbent:
        yield "the candidate is the incumbent already"
    if evaluation.model != deployment.model:
        yield f"the evaluation is of the model {evaluation.model}, not of {deployment.model}"
    if not evaluation.systems:
        yield "the evaluation names no incumbent"
    elif evaluation.incumbent.variant.digest != deployment.incumbent:
        yield (
            f"the evaluation was made against {evaluation.incumbent.variant.reference}, and the incumbent is now"
            f" {short(deployment.incumbent)}"
        )
    if evaluation.compared_while is not None:
        yield "the evaluation compares two variants, whichever of them serves, and so promotes nothing"
    if evaluation.deployment_revision != deployment.revision:
        yield (
            f"the evaluation was made at revision {evaluation.deployment_revision} of the deployment, which is now at"
            f" {deployment.revision}"
        )


def _against_policy(evaluation: Evaluation, gate: GatePolicy) -> Iterator[str]:
    suite = evaluation.suite
    if suite.name != gate.suite:
        yield f"the evaluation ran the suite {suite.name}, and the gate asks for {gate.suite}"
    elif gate.suite_digest is not None and suite.digest != gate.suite_digest:
        yield (
            f"the suite {suite.name} has changed: the evaluation ran {short(suite.digest)}, and the gate is pinned to"
            f" {short(gate.suite_digest)}"
        )
    if suite.tag != gate.tag:
        yield f"the evaluation ran {_subset(suite.tag)}, and the gate asks for {_subset(gate.tag)}"
    if evaluation.profile != gate.profile:
        yield f"the evaluation was judged by the profile {evaluation.profile}, and the gate asks for {gate.profile}"
    if evaluation.min_pairs < gate.min_pairs:
        yield f"the evaluation decides on {evaluation.min_pairs} pairs, and the gate asks for {gate.min_pairs}"
    for demanded in gate.criteria:
        shortcoming = _shortcoming(demanded, evaluation.criteria)
        if shortcoming is not None:
            yield shortcoming


def _against_draw(evaluation: Evaluation, gate: GatePolicy) -> Iterator[str]:
    """Check that the held-out cases are there, and follow from the suite, the incumbent and the campaign."""
    draw = evaluation.suite.heldout
    demanded_count = gate.heldout_per_family if gate.tag in {None, HELDOUT_TAG} else 0
    drawn_count = draw.per_family if draw is not None else 0
    if drawn_count < demanded_count:
        yield f"the evaluation drew {drawn_count} held-out cases of a family, and the gate asks for {demanded_count}"
    drawn = [case.digest for case in evaluation.cases if case.heldout]
    if draw is None:
        if drawn:
            yield "the evaluation has held-out cases, and does not say how they were drawn"
        return
    if evaluation.systems and draw.seed != _seed_of(evaluation, draw):
        yield "the held-out seed does not follow from the suite, the incumbent and the campaign"
    if draw_digest(drawn) != draw.digest:
        yield "the held-out cases are not those that were drawn"


def _seed_of(evaluation: Evaluation, draw: HeldoutDraw) -> int:
    return heldout_seed(evaluation.suite.digest, evaluation.incumbent.variant.digest, draw.campaign)


def _against_host(evaluation: Evaluation, host: Host | None) -> Iterator[str]:
    """Times and memory hold for the machine that they were measured on. A record from before it was kept is let be."""
    measured = evaluation.environment.host
    if host is None or measured is None:
        return
    if measured.start.digest != measured.end.digest:
        yield "the evaluation began on one machine and ended on another"
    elif measured.start.digest != host.digest:
        yield (
            f"the evaluation was made on another machine ({measured.start.chip}, {measured.start.os_version}, "
            f"{measured.start.memory_bytes:,} bytes with a limit of {measured.start.limit_bytes:,}): repeat it here"
        )


def _against_age(evaluation: Evaluation, gate: GatePolicy, now: datetime) -> Iterator[str]:
    try:
        made = datetime.fromisoformat(evaluation.created_at)
    except ValueError:
        yield f"the evaluation's time {evaluation.created_at!r} is not RFC 3339"
        return
    if made.tzinfo is None:
        yield f"the evaluation's time {evaluation.created_at!r} does not say its zone"
        return
    age_s = (now - made.astimezone(UTC)).total_seconds()
    if age_s > gate.max_age_s:
        yield f"the evaluation is {age_s / 3600:.1f} h old, and the gate allows {gate.max_age_s / 3600:.1f} h"
    if age_s < -CLOCK_SKEW_S:
        yield f"the evaluation's time {evaluation.created_at} lies in the future: set the clocks"


def _against_verdict(evaluation: Evaluation, candidate_digest: str) -> Iterator[str]:
    recorded = _judgement_of(candidate_digest, evaluation.judgements)
    if recorded is None or candidate_digest not in {system.variant.digest for system in evaluation.candidates}:
        yield f"the evaluation does not judge {short(candidate_digest)}"
        return
    if recorded.verdict.outcome is not Outcome.PASSED:
        decided_by = ", ".join(recorded.verdict.decided_by) or "no required criterion"
        yield f"the verdict is {recorded.verdict.outcome}, decided by {decided_by}"
    difference = _recomputed_difference(evaluation, recorded)
    if difference is not None:
        yield f"the verdict does not follow from the recorded trials ({difference})"


def _recomputed_difference(evaluation: Evaluation, recorded: Judgement) -> str | None:
    # Here and not above: the judge brings numpy and scipy, which no start of the gateway should wait for.
    from canary.judge import InconsistentRecord, judge, same_judgement  # noqa: PLC0415 - said in the line above

    try:
        recomputed = _judgement_of(recorded.variant_digest, judge(evaluation))
    except InconsistentRecord as error:
        return str(error)
    return same_judgement(recorded, recomputed) if recomputed is not None else "it is not among the candidates"


def _judgement_of(digest: str, judgements: tuple[Judgement, ...]) -> Judgement | None:
    return next((judgement for judgement in judgements if judgement.variant_digest == digest), None)


def _shortcoming(demanded: Criterion, criteria: tuple[Criterion, ...]) -> str | None:
    """Return what the evaluation's criterion of that name lacks of the demanded one."""
    found = next((criterion for criterion in criteria if criterion.name == demanded.name), None)
    if found is None:
        return f"the evaluation does not judge the criterion {demanded.name}, which the gate asks for"
    if _subject(found) != _subject(demanded):
        return f"the evaluation's criterion {demanded.name} is another rule than the gate's"
    if demanded.required and not found.required:
        return f"the criterion {demanded.name} is advisory in the evaluation, and the gate requires it"
    if not _as_strict(found, demanded):
        return f"the criterion {demanded.name} is weaker ({found.bound:g}) than the gate's ({demanded.bound:g})"
    return None


def _subject(criterion: Criterion) -> tuple[object, ...]:
    concurrency = criterion.concurrency or 1
    return criterion.metric, criterion.statistic, criterion.rule, criterion.category, criterion.tag, concurrency


def _as_strict(found: Criterion, demanded: Criterion) -> bool:
    if demanded.rule is Rule.AT_LEAST:
        return found.bound >= demanded.bound
    return found.bound <= demanded.bound


def _subset(tag: str | None) -> str:
    return f"the cases tagged {tag}" if tag is not None else "the whole suite"
