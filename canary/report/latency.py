"""What was timed apart from the trials: for each candidate its times beside the incumbent's, and their ratio."""

from collections.abc import Iterator, Sequence

import msgspec

from canary.judge import ONCE_Z, latency_doubts, latency_figure, look_z
from canary.report.quantities import NOT_MEASURED, short_time
from canary.report.systems import Contestant
from canary.report.table import Table
from gateway.contracts.evaluations import Criterion, Evaluation, Metric, Rule, Statistic
from gateway.contracts.latency import LatencyBlock, LatencyRecord

TIMES = {
    Metric.TIME_TO_FIRST_TOKEN_S: "Time to first token",
    Metric.TIME_PER_OUTPUT_TOKEN_S: "Time per output token",
    Metric.END_TO_END_S: "End to end",
}


class TimeRatio(msgspec.Struct, frozen=True, kw_only=True):
    """Candidate over incumbent: the geometric mean over the pairs of one kind of time at one concurrency."""

    metric: Metric
    concurrency: int
    value: float | None
    low: float | None
    high: float | None
    pairs: int
    cycles: int


def time_title(metric: Metric, concurrency: int) -> str:
    """Return `End to end, 4 at a time`."""
    return f"{TIMES[metric]}, {'one' if concurrency == 1 else concurrency} at a time"


def blocks_of(evaluation: Evaluation, position: int) -> tuple[LatencyBlock, ...]:
    """Return the blocks in which a system was timed; none where times were not measured apart."""
    record = evaluation.latency
    return () if record is None else tuple(block for block in record.blocks if block.system == position)


def time_ratios(evaluation: Evaluation, position: int) -> tuple[TimeRatio, ...]:
    """Return the ratios of a candidate that was timed, level by level."""
    if evaluation.latency is None:
        return ()
    ours, theirs = blocks_of(evaluation, position), blocks_of(evaluation, 0)
    levels, z = sorted({block.concurrency for block in ours}), look_z(evaluation.latency.cycles, ours)
    return tuple(_time_ratio(metric, level, ours, theirs, z=z) for level in levels for metric in TIMES)


def latency_tables(evaluation: Evaluation, entered: Sequence[Contestant]) -> Iterator[Table]:
    """Yield one table a candidate that was timed."""
    record = evaluation.latency
    if record is None:
        return
    for position, candidate in enumerate(entered[1:], 1):
        ours, theirs = blocks_of(evaluation, position), blocks_of(evaluation, 0)
        if ours:
            yield _table(record, candidate.label, ours, theirs)


def _table(
    record: LatencyRecord, label: str, ours: tuple[LatencyBlock, ...], theirs: tuple[LatencyBlock, ...]
) -> Table:
    levels = sorted({block.concurrency for block in ours})
    doubts = dict.fromkeys(
        f"At {level} requests, nothing follows from the ratios: {doubt}."
        for level in levels
        for doubt in latency_doubts(_ratio(Metric.END_TO_END_S, level), ours, theirs, case_ids=None)
    )
    cached, z = "on" if record.prefix_cache else "off", look_z(record.cycles, ours)
    seldom = "1 time in 25" if z == ONCE_Z else "1 time in 400, as the first look at times asks, which settled them"
    return Table(
        title=f"Latency: {label}",
        header=("Time", "Requests", "Incumbent", "Candidate", "Ratio", "Bounds", "Pairs", "Rows in a step"),
        rows=tuple(_row(metric, level, ours, theirs, z=z) for level in levels for metric in TIMES),
        notes=(
            f"Answers of up to {record.output_tokens} tokens, prefix cache {cached} for both.",
            f"A ratio is the geometric mean of candidate over incumbent by pairs. Each bound is missed {seldom}.",
            *doubts,
        ),
    )


def _row(
    metric: Metric, level: int, ours: tuple[LatencyBlock, ...], theirs: tuple[LatencyBlock, ...], *, z: float
) -> tuple[str, ...]:
    ratio = _time_ratio(metric, level, ours, theirs, z=z)
    return (
        TIMES[metric],
        str(level),
        _mean(metric, level, theirs),
        _mean(metric, level, ours),
        NOT_MEASURED if ratio.value is None else f"{ratio.value:.3f}",
        "" if ratio.low is None or ratio.high is None else f"{ratio.low:.3f} to {ratio.high:.3f}",
        f"{ratio.pairs} in {ratio.cycles} cycles",
        f"{_rows(theirs, level)} and {_rows(ours, level)}",
    )


def _time_ratio(
    metric: Metric, level: int, ours: tuple[LatencyBlock, ...], theirs: tuple[LatencyBlock, ...], *, z: float
) -> TimeRatio:
    found = latency_figure(_ratio(metric, level), ours, theirs, case_ids=None, z=z)
    is_bounded = found.families > 1 and found.value is not None
    return TimeRatio(
        metric=metric,
        concurrency=level,
        value=None if found.value is None else 1 + found.value,
        low=1 + found.low if is_bounded else None,
        high=1 + found.high if is_bounded else None,
        pairs=found.n,
        cycles=found.families,
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
