"""Which trials a run need not repeat: what they depend on, and the incumbent's of earlier evaluations."""

from datetime import UTC, datetime
from urllib.parse import urlsplit

from canary.client import GatewayClient
from canary.suite import Suite
from canary.trial_log import Place, Tried
from gateway.contracts.admin import EvaluationSummary
from gateway.contracts.digests import digest_of
from gateway.contracts.evaluations import ErrorCause, Evaluation, System, Trial, TrialError
from gateway.contracts.host import Host

_MOST_EVALUATIONS = 5
"""Are looked through, newest first."""
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def run_key(url: str, empty: Evaluation, host: Host) -> str:
    """Return the digest of all that the trials of a run depend on, and all that decides which there are.

    Who serves meanwhile is no part of it: the systems are named, and the record says what serves when it is made.
    """
    return digest_of(
        {
            "gateway": url,
            "model": empty.model,
            "suite": empty.suite,
            "profile": empty.profile,
            "criteria": empty.criteria,
            "min_pairs": empty.min_pairs,
            "seed": empty.seed,
            "cases": empty.cases,
            "systems": [_identity(system) for system in empty.systems],
            "versions": empty.environment.versions,
            "host": host.digest,
            "mode": empty.mode,
        }
    )


def earlier_trials(
    gateway: GatewayClient, empty: Evaluation, suite: Suite, host: Host, *, max_age_s: float, now: datetime
) -> dict[Place, Tried]:
    """Return the incumbent's trials of earlier evaluations that would come out the same.

    They would where decoding is greedy and the variant, the suite, the case, the seed, the device, the machine and all
    versions are the same. Those are canary's, which are the gateway's where it is on this machine: elsewhere nothing is
    taken. Nor is it where times are read from the trials, or the incumbent is judged against itself, which is to show
    the noise of now.
    """
    digest = empty.incumbent.variant.digest
    against_itself = digest in {system.variant.digest for system in empty.candidates}
    timed = empty.latency is None and any(criterion.metric.is_time for criterion in empty.criteria)
    elsewhere = urlsplit(gateway.url).hostname not in _LOOPBACK
    if suite.manifest.temperature > 0 or suite.manifest.profile == "seed" or timed or against_itself or elsewhere:
        return {}
    summaries = [
        each
        for each in gateway.evaluations()
        if each.model == empty.model
        and each.incumbent == empty.incumbent.variant.reference
        and each.suite == empty.suite.name
        and _age_s(each, now) <= max_age_s
    ]
    found: dict[Place, Tried] = {}
    for summary in sorted(summaries, key=lambda each: each.created_at, reverse=True)[:_MOST_EVALUATIONS]:
        evaluation = gateway.evaluation(summary.id)
        if _compares(evaluation, empty, host):
            for trial in _trials_of_incumbent(evaluation, empty):
                found.setdefault((0, trial.case_id), _tried(trial, evaluation))
    return found


def _compares(evaluation: Evaluation, empty: Evaluation, host: Host) -> bool:
    measured = evaluation.environment.host
    return (
        measured is not None
        and measured.start.digest == measured.end.digest == host.digest
        and evaluation.suite.digest == empty.suite.digest
        and evaluation.seed == empty.seed
        and evaluation.profile != "seed"
        and evaluation.environment.versions == empty.environment.versions
        and _identity(evaluation.incumbent) == _identity(empty.incumbent)
        and evaluation.incumbent.variant.digest not in {system.variant.digest for system in evaluation.candidates}
    )


def _trials_of_incumbent(evaluation: Evaluation, empty: Evaluation) -> list[Trial]:
    digest = evaluation.incumbent.variant.digest
    cases = {case.id: case.digest for case in empty.cases}
    same = {case.id for case in evaluation.cases if cases.get(case.id) == case.digest}
    return [
        trial
        for trial in evaluation.trials
        if trial.variant_digest == digest
        and trial.case_id in same
        and not (isinstance(trial.result, TrialError) and trial.result.cause is ErrorCause.INFRASTRUCTURE)
    ]


def _tried(trial: Trial, evaluation: Evaluation) -> Tried:
    return Tried(result=trial.result, grade=trial.grade, run_in=trial.run_in or evaluation.id)


def _identity(system: System) -> tuple[str, str, str, bool]:
    return system.role, system.variant.digest, system.device, system.dequantised


def _age_s(summary: EvaluationSummary, now: datetime) -> float:
    made = datetime.fromisoformat(summary.created_at)
    return (now - made.astimezone(UTC)).total_seconds()
