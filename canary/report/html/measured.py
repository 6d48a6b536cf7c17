"""Pictures of what was measured of single systems: how their times are spread, and where their memory went."""

import math
from collections.abc import Iterator, Sequence

from canary.judge.evidence import collect_evidence
from canary.judge.latency import seconds_of
from canary.report.html.figures import Figure, Lines, Point, TimedArm, Times
from canary.report.latency import TIMES, blocks_of, time_title
from canary.report.quantities import GIB, NOT_MEASURED, gib, short_time
from canary.report.systems import Contestant
from canary.report.table import Table
from gateway.contracts.evaluations import Evaluation, Metric
from gateway.contracts.latency import LatencyBlock
from gateway.contracts.memory import MemoryReading, MemoryRecord

_MAX_VALUES = 200
"""Drawn of one arm: more show no more. They are spread evenly over the ranks."""
_SHARES = (0.5, 0.9, 0.95, 0.99)


def times_figures(evaluation: Evaluation, entered: Sequence[Contestant]) -> Iterator[Figure]:
    """Yield the spread of each kind of time at each concurrency, of every system."""
    if evaluation.latency is None:
        found = zip(entered, collect_evidence(evaluation), strict=True)
        trials = [(each.label, list(evidence.values(Metric.GENERATION_TIME_S).values())) for each, evidence in found]
        yield from _spread("Generation time of the trials", trials)
        return
    blocks = [(each.label, blocks_of(evaluation, position)) for position, each in enumerate(entered)]
    for level in sorted({block.concurrency for _, of_system in blocks for block in of_system}):
        for metric in TIMES:
            arms = [(label, _seconds(of_system, metric, level)) for label, of_system in blocks]
            yield from _spread(time_title(metric, level), arms)


def memory_figures(evaluation: Evaluation, entered: Sequence[Contestant]) -> Iterator[Figure]:
    """Yield the peak by length of context, and what is in use after each of many equal requests."""
    records = [(entered[record.system].label, record) for record in evaluation.memory]
    if not records:
        return
    systems, limit = tuple(label for label, _ in records), records[0][1].limit_bytes / GIB
    contexts = tuple(
        Point(system=label, x=each.tokens, y=each.reading.peak_bytes / GIB)
        for label, record in records
        for each in record.contexts
    )
    repeats = tuple(
        Point(system=label, x=number, y=reading.active_bytes / GIB)
        for label, record in records
        for number, reading in enumerate(record.after_request, 1)
    )
    if contexts:
        yield Figure(
            kind="lines",
            title="Peak memory by length of context",
            reading="One request of so many tokens, alone. The dashed line is what engines may use together.",
            data=Lines(x_axis="tokens", y_axis="GiB", systems=systems, limit=limit, points=contexts),
            table=_phases(records),
        )
    if repeats:
        yield Figure(
            kind="lines",
            title="Memory in use after equal requests",
            reading="One request after another. A line that climbs is a leak.",
            data=Lines(x_axis="request", y_axis="GiB", systems=systems, limit=None, points=repeats),
        )


def _spread(title: str, arms: Sequence[tuple[str, list[float]]]) -> Iterator[Figure]:
    measured = [(label, sorted(values)) for label, values in arms if values]
    if measured:
        yield Figure(
            kind="times",
            title=title,
            reading="A box holds the middle half, with the median as a line; single dots lie far outside it.",
            data=Times(
                axis="seconds",
                systems=tuple(label for label, _ in arms),
                arms=tuple(TimedArm(system=label, values=_thinned(values)) for label, values in measured),
            ),
            table=_percentiles(title, measured),
        )


def _seconds(blocks: Sequence[LatencyBlock], metric: Metric, level: int) -> list[float]:
    return [
        seconds
        for block in blocks
        if block.concurrency == level
        for answer in block.answers
        if (seconds := seconds_of(answer, metric)) is not None
    ]


def _thinned(ordered: Sequence[float]) -> tuple[float, ...]:
    if len(ordered) <= _MAX_VALUES:
        return tuple(ordered)
    last = len(ordered) - 1
    return tuple(ordered[round(rank * last / (_MAX_VALUES - 1))] for rank in range(_MAX_VALUES))


def _percentiles(title: str, arms: Sequence[tuple[str, list[float]]]) -> Table:
    return Table(
        title=title,
        header=("System", "Answers", *(f"p{100 * share:g}" for share in _SHARES), "Longest"),
        rows=tuple(
            (
                label,
                str(len(ordered)),
                *(short_time(ordered[math.ceil(share * len(ordered)) - 1]) for share in _SHARES),
                short_time(ordered[-1]),
            )
            for label, ordered in arms
        ),
    )


def _phases(records: Sequence[tuple[str, MemoryRecord]]) -> Table:
    return Table(
        title="Memory by phase",
        header=("System", "Phase", "In use", "Cache", "Peak", "Footprint"),
        rows=tuple(
            (label, phase, *_reading(reading)) for label, record in records for phase, reading in _readings(record)
        ),
    )


def _readings(record: MemoryRecord) -> Iterator[tuple[str, MemoryReading | None]]:
    yield "steady", record.steady
    for each in record.contexts:
        yield f"{each.tokens:,} tokens", each.reading
    if record.after_request:
        yield "after the first equal request", record.after_request[0]
        yield f"after the last of {len(record.after_request)}", record.after_request[-1]


def _reading(reading: MemoryReading | None) -> tuple[str, ...]:
    if reading is None:
        return (NOT_MEASURED,) * 4
    return tuple(
        gib(size) for size in (reading.active_bytes, reading.cache_bytes, reading.peak_bytes, reading.footprint_bytes)
    )
