"""Criterion by criterion, and the verdict on each candidate with what decided it."""

from canary.report.quantities import NOT_MEASURED, difference, interval, level, quantity, rule
from canary.report.systems import Contestant
from canary.report.table import Table
from gateway.contracts.evaluations import CriterionResult, Judgement, Level, Outcome, Rule


def criteria_table(candidate: Contestant, judgement: Judgement) -> Table:
    return Table(
        title=f"Criteria: {candidate.label}",
        header=("Criterion", "Demands", "Observed", "95% interval", "Outcome"),
        rows=tuple(_criterion_row(result) for result in judgement.results),
        notes=tuple(f"{each.criterion.name}: {each.reason}" for each in judgement.results if _needs_reason(each)),
    )


def verdicts_table(candidates: tuple[Contestant, ...], judgements: tuple[Judgement, ...]) -> Table:
    return Table(
        title="Verdicts",
        header=("Candidate", "Verdict", "Decided by"),
        rows=tuple(
            (candidate.label, judgement.verdict.outcome, _decided_by(judgement))
            for candidate, judgement in zip(candidates, judgements, strict=True)
        ),
    )


def _criterion_row(result: CriterionResult) -> tuple[str, ...]:
    compared = result.criterion.rule is Rule.NO_WORSE_THAN
    return (
        result.criterion.name,
        rule(result.criterion),
        _observed(result),
        interval(result.low, result.high, result.criterion.metric, signed=compared),
        result.outcome if result.required else f"{result.outcome} (advisory)",
    )


def _observed(result: CriterionResult) -> str:
    metric = result.criterion.metric
    if result.observed is None:
        return NOT_MEASURED
    if result.criterion.rule is Rule.NO_WORSE_THAN:
        return f"{difference(result.observed, metric)} ({result.n} pairs)"
    if metric.higher_is_better:
        return level(Level(n=result.n, value=result.observed), metric)
    return f"{quantity(result.observed, metric)}{f' (n={result.n})' if metric.per_trial else ''}"


def _needs_reason(result: CriterionResult) -> bool:
    """The table says all of a plain pass; what failed, decides nothing or has a remark is said in words."""
    return result.outcome is not Outcome.PASSED or result.required != result.criterion.required or ";" in result.reason


def _decided_by(judgement: Judgement) -> str:
    verdict = judgement.verdict
    if not verdict.decided_by:
        return "no required criterion"
    if verdict.outcome is Outcome.PASSED:
        return f"all required criteria: {', '.join(verdict.decided_by)}"
    return ", ".join(verdict.decided_by)
