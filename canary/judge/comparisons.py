"""Put a candidate beside the incumbent on one metric."""

from collections.abc import Sequence

from canary.judge.evidence import Evidence
from canary.judge.memory import memory_figure
from canary.judge.statistics import Interval, mean, t_interval, tango_interval, wilson_interval
from gateway.contracts.evaluations import Comparison, Level, Metric, System

COMPARED = (
    Metric.GENERATION_TIME_S,
    Metric.TIME_TO_FIRST_TOKEN_S,
    Metric.MEMORY_BYTES,
    Metric.LOAD_TIME_S,
    Metric.DISK_BYTES,
)
"""Compared in every run, after accuracy and field access."""
TIMED_APART = (Metric.TIME_PER_OUTPUT_TOKEN_S, Metric.END_TO_END_S)
"""Further ones of a run that times its systems apart from the trials."""


def compare_all(candidate: Evidence, incumbent: Evidence, categories: Sequence[str]) -> tuple[Comparison, ...]:
    """Return accuracy overall and by category, field access where a grade measures it, then times and sizes."""
    field_access = (Metric.FIELD_ACCESS,) if candidate.field_cases else ()
    apart = TIMED_APART if candidate.blocks is not None else ()
    of_memory = tuple(metric for metric in Metric if metric.of_memory_phase) if candidate.memory is not None else ()
    return (
        compare(candidate, incumbent, Metric.ACCURACY),
        *(compare(candidate, incumbent, Metric.ACCURACY, category) for category in categories),
        *(compare(candidate, incumbent, metric) for metric in (*field_access, *COMPARED, *apart, *of_memory)),
    )


def compare(
    candidate: Evidence, incumbent: Evidence, metric: Metric, category: str | None = None, tag: str | None = None
) -> Comparison:
    """Return both levels, each over all trials of its own system, and the difference over the pairs that both have."""
    if not metric.per_trial:
        return _compare_systems(candidate, incumbent, metric)
    of_candidate, of_incumbent = (each.values(metric, category, tag) for each in (candidate, incumbent))
    pairs = [(value, of_incumbent[case_id]) for case_id, value in of_candidate.items() if case_id in of_incumbent]
    interval = _difference_interval(pairs, metric)
    return Comparison(
        metric=metric,
        category=category,
        pairs=len(pairs),
        candidate=level(list(of_candidate.values()), metric),
        incumbent=level(list(of_incumbent.values()), metric),
        difference=mean([ours - theirs for ours, theirs in pairs]) if pairs else None,
        difference_low=interval.low if interval else None,
        difference_high=interval.high if interval else None,
    )


def level(values: Sequence[float], metric: Metric) -> Level:
    """Return the mean of a per-trial metric: with Wilson's interval where each value is 0 or 1, else Student's."""
    if not values:
        return Level(n=0, value=None)
    if metric.is_time:
        interval = t_interval(values, floor=0.0)
    elif _all_zero_or_one(values):
        interval = wilson_interval(round(sum(values)), len(values))
    else:
        interval = t_interval(values, floor=0.0, ceiling=1.0)
    low, high = interval or (None, None)
    return Level(n=len(values), value=mean(values), low=low, high=high)


def judged_bytes(system: System) -> int:
    """Return the memory that a system is judged on: as measured, or as predicted where weights were dequantised."""
    return system.predicted_bytes if system.dequantised else system.active_bytes


def _compare_systems(candidate: Evidence, incumbent: Evidence, metric: Metric) -> Comparison:
    ours, theirs = of_system(candidate, metric), of_system(incumbent, metric)
    both = ours is not None and theirs is not None
    return Comparison(
        metric=metric,
        category=None,
        pairs=int(both),
        candidate=Level(n=int(ours is not None), value=ours),
        incumbent=Level(n=int(theirs is not None), value=theirs),
        difference=ours - theirs if ours is not None and theirs is not None else None,
    )


def of_system(evidence: Evidence, metric: Metric) -> float | None:
    """Return what was measured once of a system's engine; None of what was not."""
    system = evidence.system
    if metric is Metric.MEMORY_BYTES:
        return float(judged_bytes(system))
    if metric is Metric.LOAD_TIME_S:
        return system.load_time_s
    if metric is Metric.DISK_BYTES:
        return float(system.disk_bytes)
    return None if evidence.memory is None else memory_figure(evidence.memory, metric)


def _difference_interval(pairs: Sequence[tuple[float, float]], metric: Metric) -> Interval | None:
    if not pairs:
        return None
    differences = [ours - theirs for ours, theirs in pairs]
    if metric.is_time:
        return t_interval(differences)
    if all(_all_zero_or_one(pair) for pair in pairs):
        return tango_interval(differences.count(1.0), differences.count(-1.0), len(pairs))
    return t_interval(differences, floor=-1.0, ceiling=1.0)


def _all_zero_or_one(values: Sequence[float]) -> bool:
    return all(value in {0.0, 1.0} for value in values)
