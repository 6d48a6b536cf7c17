"""Put a candidate beside the incumbent on one metric."""

from collections.abc import Sequence

from canary.judge.evidence import Evidence
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


def compare_all(candidate: Evidence, incumbent: Evidence, categories: Sequence[str]) -> tuple[Comparison, ...]:
    """Return accuracy overall and by category, field access where a grade measures it, then times and sizes."""
    field_access = (Metric.FIELD_ACCESS,) if candidate.field_cases else ()
    return (
        compare(candidate, incumbent, Metric.ACCURACY),
        *(compare(candidate, incumbent, Metric.ACCURACY, category) for category in categories),
        *(compare(candidate, incumbent, metric) for metric in (*field_access, *COMPARED)),
    )


def compare(candidate: Evidence, incumbent: Evidence, metric: Metric, category: str | None = None) -> Comparison:
    """Return both levels, each over all trials of its own system, and the difference over the pairs that both have."""
    if not metric.per_trial:
        return _compare_systems(candidate.system, incumbent.system, metric)
    of_candidate, of_incumbent = candidate.values(metric, category), incumbent.values(metric, category)
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


def _compare_systems(candidate: System, incumbent: System, metric: Metric) -> Comparison:
    ours, theirs = of_system(candidate, metric), of_system(incumbent, metric)
    return Comparison(
        metric=metric,
        category=None,
        pairs=1,
        candidate=Level(n=1, value=ours),
        incumbent=Level(n=1, value=theirs),
        difference=ours - theirs,
    )


def of_system(system: System, metric: Metric) -> float:
    """Return what was measured once of a system's engine."""
    if metric is Metric.MEMORY_BYTES:
        return float(judged_bytes(system))
    return system.load_time_s if metric is Metric.LOAD_TIME_S else float(system.disk_bytes)


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
