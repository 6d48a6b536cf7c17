"""All that a report of one Evaluation says, computed once for every writer."""

import msgspec

from canary.report.criteria import criteria_table, verdicts_table
from canary.report.flips import FlippedCases, flipped_cases
from canary.report.limits import limits
from canary.report.matrix import decision_matrix
from canary.report.quantities import gib
from canary.report.systems import contestants, systems_table
from canary.report.table import Table
from canary.winner import choose_winner
from gateway.contracts.evaluations import Evaluation
from gateway.contracts.heldout import HeldoutDraw


class View(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    identity: tuple[tuple[str, str], ...]
    """Name and value: what ran, where, and under which digests."""
    tables: tuple[Table, ...]
    conclusion: str
    flips: tuple[FlippedCases, ...]
    limits: tuple[str, ...]


def view_of(evaluation: Evaluation) -> View:
    """Raises canary.judge.InconsistentRecord where the record contradicts itself."""
    entered = contestants(evaluation)
    candidates = entered[1:]
    return View(
        title=f"Evaluation {evaluation.id}",
        identity=_identity(evaluation),
        tables=(
            systems_table(entered),
            decision_matrix(evaluation, entered),
            *(
                criteria_table(candidate, judgement)
                for candidate, judgement in zip(candidates, evaluation.judgements, strict=True)
            ),
            verdicts_table(candidates, evaluation.judgements),
        ),
        conclusion=_conclusion(evaluation),
        flips=flipped_cases(evaluation, candidates),
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
        ("Profile", f"{evaluation.profile}, seed {evaluation.seed}, at least {evaluation.min_pairs} pairs"),
        ("Recorded", evaluation.created_at),
        ("Machine", f"{machine.processor}, {gib(machine.memory_bytes)}, {machine.platform}"),
        ("Software", ", ".join(f"{name} {version}" for name, version in machine.versions.items())),
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
