"""Criterion by criterion, and the verdict on each candidate with what decided it."""

from collections.abc import Iterator

from canary.report.quantities import NOT_MEASURED, amount, level, quantity, rule
from canary.report.systems import Contestant
from canary.report.table import Table
from gateway.contracts.evaluations import CriterionResult, Judgement, Level, Outcome, Rule, Statistic, StopCause


def criteria_table(candidate: Contestant, judgement: Judgement) -> Table:
    return Table(
        title=f"Criteria: {candidate.label}",
        header=("Criterion", "Demands", "Observed", "Bounds" if judgement.stopping else "95% interval", "Outcome"),
        rows=tuple(_criterion_row(result) for result in judgement.results),
        notes=(
            *(f"{each.criterion.name}: {each.reason}" for each in judgement.results if _needs_reason(each)),
            *_reading(judgement),
        ),
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
    return (
        result.criterion.name,
        rule(result.criterion),
        _observed(result),
        _bounds(result),
        result.outcome if result.required else f"{result.outcome} (advisory)",
    )


def _reading(judgement: Judgement) -> Iterator[str]:
    stopping = judgement.stopping
    if stopping is None:
        return
    why = {
        StopCause.SUCCESS: "every required criterion over trials held at a look",
        StopCause.HARM: "a required criterion was shown to be missed",
        StopCause.HORIZON: "all planned cases were read",
    }[stopping.cause]
    left_out = f", {stopping.excluded} of them left out for want of a grade" if stopping.excluded else ""
    yield (
        f"Read {stopping.cases} of {stopping.planned} planned cases, of {stopping.families} families{left_out}: {why}. "
        "Bounds hold for all looks together, with families as the units."
    )


def _bounds(result: CriterionResult) -> str:
    if result.low is None or result.high is None:
        return ""
    return f"{amount(result.low, result.criterion)} to {amount(result.high, result.criterion)}"


def _observed(result: CriterionResult) -> str:
    metric = result.criterion.metric
    if result.observed is None:
        return NOT_MEASURED
    if result.criterion.rule is Rule.NO_WORSE_THAN:
        return f"{amount(result.observed, result.criterion)} ({result.n} pairs)"
    if metric.higher_is_better and result.criterion.statistic is Statistic.MEAN:
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
