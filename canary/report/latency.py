"""What was timed apart from the trials: for each candidate its times beside the incumbent's, and their ratio."""

from collections.abc import Iterator, Sequence

from canary.judge import ONCE_Z, latency_doubts, latency_figure
from canary.report.quantities import NOT_MEASURED, short_time
from canary.report.systems import Contestant
from canary.report.table import Table
from gateway.contracts.evaluations import Criterion, Evaluation, Metric, Rule, Statistic
from gateway.contracts.latency import LatencyBlock, LatencyRecord

_QUANTITIES = {
    Metric.TIME_TO_FIRST_TOKEN_S: "Time to first token",
    Metric.TIME_PER_OUTPUT_TOKEN_S: "Time per output token",
    Metric.END_TO_END_S: "End to end",
}


def latency_tables(evaluation: Evaluation, entered: Sequence[Contestant]) -> Iterator[Table]:
    """Yield one table a candidate that was timed."""
    record = evaluation.latency
    if record is None:
        return
    for position, candidate in enumerate(entered[1:], 1):
        ours, theirs = _of(record, position), _of(record, 0)
        if ours:
            yield _table(record, candidate.label, ours, theirs)


def _of(record: LatencyRecord, position: int) -> tuple[LatencyBlock, ...]:
    return tuple(block for block in record.blocks if block.system == position)


def _table(
    record: LatencyRecord, label: str, ours: tuple[LatencyBlock, ...], theirs: tuple[LatencyBlock, ...]
) -> Table:
    levels = sorted({block.concurrency for block in ours})
    doubts = dict.fromkeys(
        f"At {level} requests, nothing follows from the ratios: {doubt}."
        for level in levels
        for doubt in latency_doubts(_ratio(Metric.END_TO_END_S, level), ours, theirs, case_ids=None)
    )
    cached = "on" if record.prefix_cache else "off"
    return Table(
        title=f"Latency: {label}",
        header=("Time", "Requests", "Incumbent", "Candidate", "Ratio", "Bounds", "Pairs", "Rows in a step"),
        rows=tuple(_row(metric, level, ours, theirs) for level in levels for metric in _QUANTITIES),
        notes=(
            f"Answers of up to {record.output_tokens} tokens, prefix cache {cached} for both.",
            "A ratio is the geometric mean of candidate over incumbent by pairs. Each bound is missed 1 time in 25.",
            *doubts,
        ),
    )


def _row(
    metric: Metric, level: int, ours: tuple[LatencyBlock, ...], theirs: tuple[LatencyBlock, ...]
) -> tuple[str, ...]:
    ratio = latency_figure(_ratio(metric, level), ours, theirs, case_ids=None, z=ONCE_Z)
    is_bounded = ratio.families > 1 and ratio.value is not None
    return (
        _QUANTITIES[metric],
        str(level),
        _mean(metric, level, theirs),
        _mean(metric, level, ours),
        NOT_MEASURED if ratio.value is None else f"{1 + ratio.value:.3f}",
        f"{1 + ratio.low:.3f} to {1 + ratio.high:.3f}" if is_bounded else "",
        f"{ratio.n} in {ratio.families} cycles",
        f"{_rows(theirs, level)} and {_rows(ours, level)}",
    )


def _ratio(metric: Metric, level: int) -> Criterion:
    return Criterion(
        name="", metric=metric, rule=Rule.NO_WORSE_THAN, statistic=Statistic.RATIO, bound=0.0, concurrency=level
    )


def _mean(metric: Metric, level: int, blocks: tuple[LatencyBlock, ...]) -> str:
    criterion = Criterion(name="", metric=metric, rule=Rule.AT_MOST, bound=0.0, concurrency=level)
    value = latency_figure(criterion, blocks, (), case_ids=None, z=ONCE_Z).value
    return NOT_MEASURED if value is None else short_time(value)


def _rows(blocks: tuple[LatencyBlock, ...], level: int) -> str:
    rows = [block.batch_rows for block in blocks if block.concurrency == level and block.batch_rows is not None]
    return f"{sum(rows) / len(rows):.1f}" if rows else "unknown"
