"""All that a report of one Evaluation says, computed once for every writer."""

from collections import Counter
from collections.abc import Iterator

import msgspec

from canary.report.criteria import criteria_table, verdicts_table
from canary.report.differences import KeyFigure, difference_tables, key_figures
from canary.report.fidelity import fidelity_tables
from canary.report.findings import Findings, findings
from canary.report.flips import FlippedCases, flipped_cases
from canary.report.headline import Headline, headline, question
from canary.report.latency import latency_tables
from canary.report.limits import limits
from canary.report.matrix import decision_matrix
from canary.report.memory import memory_tables
from canary.report.quantities import gib
from canary.report.systems import Contestant, contestants, systems_table
from canary.report.table import Table
from gateway.contracts.digests import short
from gateway.contracts.evaluations import Evaluation, Mode
from gateway.contracts.heldout import HeldoutDraw
from gateway.contracts.host import HostRecord
from gateway.contracts.winner import choose_winner

_MODES = {
    Mode.RESIDENT: "resident: all systems loaded beside each other",
    Mode.SWAP: "swap: the systems loaded in turn, while production's requests waited",
    Mode.OFFLINE: "offline: the systems loaded in turn, while production's requests were sent away",
}


class View(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    question: str
    headline: Headline
    identity: tuple[tuple[str, str], ...]
    """Name and value: what ran, where, and under which digests."""
    entered: tuple[Contestant, ...]
    systems: Table
    fidelity: tuple[Table, ...]
    matrix: Table
    key_figures: tuple[tuple[KeyFigure, ...], ...]
    """Of each candidate."""
    differences: tuple[Table | None, ...]
    """One a candidate, None for one that has no pair."""
    latency: tuple[Table, ...]
    memory: tuple[Table, ...]
    findings: tuple[Findings, ...]
    criteria: tuple[Table, ...]
    """One a candidate."""
    verdicts: Table
    conclusion: str
    flips: tuple[FlippedCases, ...]
    limits: tuple[str, ...]


def view_of(evaluation: Evaluation) -> View:
    """Raises canary.judge.InconsistentRecord where the record contradicts itself."""
    entered = contestants(evaluation)
    candidates = entered[1:]
    flips = flipped_cases(evaluation, candidates)
    return View(
        title=f"Evaluation {evaluation.id}",
        question=question(evaluation, entered),
        headline=headline(evaluation, entered),
        identity=_identity(evaluation),
        entered=entered,
        systems=systems_table(entered),
        fidelity=tuple(fidelity_tables(evaluation, candidates, evaluation.judgements)),
        matrix=decision_matrix(evaluation, entered),
        key_figures=tuple(key_figures(evaluation, judgement) for judgement in evaluation.judgements),
        differences=tuple(difference_tables(evaluation, candidates)),
        latency=tuple(latency_tables(evaluation, entered)),
        memory=memory_tables(evaluation, entered),
        findings=findings(evaluation, entered, flips),
        criteria=tuple(
            criteria_table(candidate, judgement)
            for candidate, judgement in zip(candidates, evaluation.judgements, strict=True)
        ),
        verdicts=verdicts_table(candidates, evaluation.judgements),
        conclusion=_conclusion(evaluation),
        flips=flips,
        limits=limits(evaluation, candidates),
    )


def _identity(evaluation: Evaluation) -> tuple[tuple[str, str], ...]:
    suite, machine = evaluation.suite, evaluation.environment
    subset = "all cases" if suite.tag is None else f"cases tagged {suite.tag}"
    drawn = () if suite.heldout is None else (("Held-out cases", _drawn_in_words(evaluation, suite.heldout)),)
    return (
        ("Model", f"{evaluation.model}, revision {evaluation.deployment_revision} of its deployment"),
        ("Suite", f"{suite.name}, {subset} ({len(evaluation.cases)}), digest {suite.digest}"),
        *drawn,
        *_compared_in_words(evaluation),
        ("Profile", f"{evaluation.profile}, seed {evaluation.seed}, at least {evaluation.min_pairs} pairs"),
        ("Mode", _MODES[evaluation.mode]),
        *_earlier_in_words(evaluation),
        ("Recorded", evaluation.created_at),
        ("Machine", f"{machine.processor}, {gib(machine.memory_bytes)}, {machine.platform}"),
        *(() if machine.host is None else (("Host of the engines", _host_in_words(machine.host)),)),
        ("Software", ", ".join(f"{name} {version}" for name, version in machine.versions.items())),
    )


def _host_in_words(host: HostRecord) -> str:
    start, state = host.start, host.start.state
    awake = f"kept awake by {host.kept_awake_by}" if host.kept_awake_by else "not kept from sleeping"
    return (
        f"{start.chip}, {gib(start.memory_bytes)}, limit {gib(start.limit_bytes)}, {start.os_version}; "
        f"power {state.power_source or 'unknown'}, thermal state {state.thermal_state or 'unknown'}; {awake}"
    )


def _earlier_in_words(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Yield how many trials were not run for this evaluation, and where they were."""
    counts = Counter(trial.run_in for trial in evaluation.trials if trial.run_in is not None)
    if counts:
        of_each = ", ".join(f"{count} in {evaluation_id}" for evaluation_id, count in counts.items())
        yield "Trials run earlier", f"{of_each}; all others in this one ({len(evaluation.trials) - counts.total()})"


def _compared_in_words(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Say that the incumbent of this record is none, where `canary compare` made it."""
    if evaluation.compared_while is not None:
        yield (
            "Comparison",
            f"{evaluation.incumbent.variant.reference} has the incumbent's role here, while "
            f"{short(evaluation.compared_while)} served {evaluation.model}: this record promotes nothing",
        )


def _drawn_in_words(evaluation: Evaluation, draw: HeldoutDraw) -> str:
    count = sum(case.heldout for case in evaluation.cases)
    return (
        f"{count} of these cases, {draw.per_family} of each family, drawn by generator {draw.generator} for campaign "
        f"{draw.campaign}: seed {draw.seed}, digest {draw.digest}"
    )


def _conclusion(evaluation: Evaluation) -> str:
    winner = choose_winner(evaluation)
    if winner is None:
        return "Winner: none. No candidate that differs from the incumbent passed."
    return (
        f"Winner: {winner.variant.reference}. Of the candidates that passed, the smallest in predicted memory wins, "
        "then the most accurate, then the first given."
    )
