"""What each candidate is beside the incumbent, figure by figure, with the margin that it may lose."""

from collections.abc import Iterator, Sequence

import msgspec

from canary.report.quantities import SIZES, amount, difference, interval, level, metric_title
from canary.report.systems import Contestant
from canary.report.table import Table
from gateway.contracts.evaluations import (
    Comparison,
    CriterionResult,
    Evaluation,
    Judgement,
    Level,
    Metric,
    Rule,
    Statistic,
)

_KEY_METRICS = (
    Metric.ACCURACY,
    Metric.FIELD_ACCESS,
    Metric.GENERATION_TIME_S,
    Metric.END_TO_END_S,
    Metric.MEMORY_BYTES,
    Metric.DISK_BYTES,
)


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison, with the criterion that limits its difference where there is one."""

    title: str
    """`Accuracy: Sums`."""
    name: str
    """The same among rows of one metric: `Sums`."""
    comparison: Comparison
    difference: float
    limit: CriterionResult | None

    @property
    def change(self) -> str:
        return difference(self.difference, self.comparison.metric)

    @property
    def interval(self) -> str:
        """95 %, or empty."""
        found = self.comparison
        return interval(found.difference_low, found.difference_high, found.metric, signed=True)


class KeyFigure(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asks for first, in words."""

    title: str
    candidate: str
    incumbent: str
    change: str
    interval: str
    """95 %, or empty."""


def compared(evaluation: Evaluation, judgement: Judgement) -> tuple[Compared, ...]:
    """Return the comparisons in which both have a figure, in the order of the record."""
    limits = {
        (each.criterion.metric, each.criterion.category): each
        for each in judgement.results
        if each.criterion.rule is Rule.NO_WORSE_THAN
        and each.criterion.statistic is Statistic.MEAN
        and each.criterion.tag is None
        and each.criterion.concurrency in {None, 1}
    }
    return tuple(
        Compared(
            title=_title(evaluation, comparison),
            name=_name(evaluation, comparison),
            comparison=comparison,
            difference=found,
            limit=limits.get((comparison.metric, comparison.category)),
        )
        for comparison in judgement.comparisons
        if (found := comparison.difference) is not None and not _is_told_elsewhere(evaluation, comparison)
    )


def key_figures(evaluation: Evaluation, judgement: Judgement) -> tuple[KeyFigure, ...]:
    """Return accuracy, field access, the time of an answer, memory and disk, as far as they were measured."""
    are_times = not any(system.dequantised for system in evaluation.systems)
    overall = {
        each.comparison.metric: each for each in compared(evaluation, judgement) if each.comparison.category is None
    }
    return tuple(
        KeyFigure(
            title=each.title,
            candidate=_short_level(each.comparison.candidate, each.comparison.metric),
            incumbent=_short_level(each.comparison.incumbent, each.comparison.metric),
            change=each.change,
            interval=each.interval,
        )
        for metric in _KEY_METRICS
        if (each := overall.get(metric)) is not None and (are_times or not metric.is_time)
    )


def difference_tables(evaluation: Evaluation, candidates: Sequence[Contestant]) -> Iterator[Table | None]:
    """Yield one a candidate, None for one that has no pair."""
    for candidate, judgement in zip(candidates, evaluation.judgements, strict=True):
        rows = tuple(_row(each) for each in compared(evaluation, judgement))
        yield (
            Table(
                title=f"Difference from the incumbent: {candidate.label}",
                header=("Figure", "Incumbent", "Candidate", "Difference", "95% interval", "May lose"),
                rows=rows,
                notes=("Candidate minus incumbent, over the pairs. Intervals take cases as independent.",),
            )
            if rows
            else None
        )


def _title(evaluation: Evaluation, comparison: Comparison) -> str:
    name = _name(evaluation, comparison)
    if comparison.metric is Metric.ACCURACY:
        return "Accuracy, overall" if comparison.category is None else f"Accuracy: {name}"
    return name


def _name(evaluation: Evaluation, comparison: Comparison) -> str:
    if comparison.metric is Metric.ACCURACY:
        return "Overall" if comparison.category is None else evaluation.suite.categories[comparison.category]
    return metric_title(comparison.metric)


def _is_told_elsewhere(evaluation: Evaluation, comparison: Comparison) -> bool:
    """The memory phase has a table of its own, and timed apart the generation time is the end-to-end time again."""
    repeats = evaluation.latency is not None and comparison.metric is Metric.GENERATION_TIME_S
    return repeats or comparison.metric.of_memory_phase


def _short_level(measured: Level, metric: Metric) -> str:
    """Return a level without the count of its bytes."""
    return level(measured, metric).partition(" (")[0] if metric in SIZES else level(measured, metric)


def _row(each: Compared) -> tuple[str, ...]:
    comparison, metric = each.comparison, each.comparison.metric
    return (
        each.title,
        level(comparison.incumbent, metric),
        level(comparison.candidate, metric),
        each.change,
        each.interval,
        "" if each.limit is None else amount(each.limit.criterion.bound, each.limit.criterion).removeprefix("+"),
    )
