"""Pictures of the systems beside each other: levels with their floors, differences with their margins."""

from collections.abc import Iterator, Sequence

from canary.report.differences import Compared, compared
from canary.report.html.figures import Figure, Forest, Interval, Levels, SystemLevel
from canary.report.latency import TimeRatio, time_ratios, time_title
from canary.report.systems import Contestant
from canary.report.table import Table
from gateway.contracts.evaluations import CriterionResult, Evaluation, Judgement, Level, Metric, Rule, Statistic

_PERCENT = 100


def levels_figure(evaluation: Evaluation, entered: Sequence[Contestant]) -> Figure:
    """Return accuracy of every system, overall and by category, with the floors."""
    wanted = [
        ("Overall", Metric.ACCURACY, None),
        *((title, Metric.ACCURACY, category) for category, title in evaluation.suite.categories.items()),
        ("Field access rate", Metric.FIELD_ACCESS, None),
    ]
    floors = {
        (each.metric, each.category): each.bound
        for each in evaluation.criteria
        if each.required and each.rule is Rule.AT_LEAST and each.tag is None
    }
    return Figure(
        kind="levels",
        title="Accuracy by category",
        reading="Each mark is the share that is right, with its 95% interval. A dashed line is a required floor.",
        data=Levels(
            axis="right, %",
            systems=tuple(each.label for each in entered),
            rows=tuple(
                _system_level(title, each, found, floors.get((metric, category)))
                for title, metric, category in wanted
                for each in entered
                if (found := each.levels.get((metric, category))) is not None and found.value is not None
            ),
        ),
    )


def forests(evaluation: Evaluation, entered: Sequence[Contestant], tables: Sequence[Table | None]) -> Iterator[Figure]:
    """Yield of each candidate its differences in accuracy, then its times; `tables` has the former in figures."""
    each_candidate = zip(entered[1:], evaluation.judgements, tables, strict=True)
    for position, (candidate, judgement, table) in enumerate(each_candidate, 1):
        yield from _accuracy_forest(evaluation, candidate, judgement, table)
        yield from _time_forest(evaluation, candidate, judgement, position)


def _accuracy_forest(
    evaluation: Evaluation, candidate: Contestant, judgement: Judgement, table: Table | None
) -> Iterator[Figure]:
    rows = tuple(
        _points_row(each) for each in compared(evaluation, judgement) if each.comparison.metric.higher_is_better
    )
    if rows:
        yield Figure(
            kind="forest",
            title=f"Accuracy of {candidate.label} against the incumbent",
            reading=(
                "Right of zero the candidate is better. A red mark is the most that it may lose: that row has the "
                "bounds of its criterion, the others 95% intervals."
            ),
            data=Forest(axis="difference, points", baseline=0.0, rows=rows),
            table=table,
        )


def _time_forest(
    evaluation: Evaluation, candidate: Contestant, judgement: Judgement, position: int
) -> Iterator[Figure]:
    limits = {
        (each.criterion.metric, each.criterion.concurrency or 1): each
        for each in judgement.results
        if each.criterion.metric.is_time and each.criterion.statistic is Statistic.RATIO
    }
    rows = tuple(
        _ratio_row(each, each.value, limits.get((each.metric, each.concurrency)))
        for each in time_ratios(evaluation, position)
        if each.value is not None
    )
    if rows:
        yield Figure(
            kind="forest",
            title=f"Times of {candidate.label} against the incumbent's",
            reading="Left of 1 the candidate is faster. A red mark is the most that it may be slower.",
            data=Forest(axis="candidate over incumbent", baseline=1.0, rows=rows),
        )


def _system_level(title: str, each: Contestant, found: Level, floor: float | None) -> SystemLevel:
    return SystemLevel(
        row=title,
        system=each.label,
        value=_PERCENT * (found.value or 0.0),
        low=_percent(found.low),
        high=_percent(found.high),
        floor=_percent(floor),
    )


def _points_row(each: Compared) -> Interval:
    comparison, limit = each.comparison, each.limit
    if limit is not None and limit.low is not None and limit.high is not None:
        low, high = limit.low, limit.high
    else:
        low, high = comparison.difference_low, comparison.difference_high
    return Interval(
        label=each.name,
        value=_PERCENT * each.difference,
        low=_percent(low),
        high=_percent(high),
        margin=None if limit is None else -_PERCENT * limit.criterion.bound,
        outcome="" if limit is None else limit.outcome,
    )


def _ratio_row(ratio: TimeRatio, value: float, limit: CriterionResult | None) -> Interval:
    return Interval(
        label=time_title(ratio.metric, ratio.concurrency),
        value=value,
        low=ratio.low,
        high=ratio.high,
        margin=None if limit is None else 1 + limit.criterion.bound,
        outcome="" if limit is None else limit.outcome,
    )


def _percent(value: float | None) -> float | None:
    return None if value is None else _PERCENT * value
