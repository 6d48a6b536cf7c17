"""What a recorded run's own figures say against its conclusions. Every number here is computed from them."""

from collections.abc import Iterator
from decimal import Decimal

from canary.judge.statistics import wilson_interval
from canary.report.quantities import GIB, interval, percent, proportion
from canary.report.recorded.criteria import alternatives, meets_floors
from canary.report.recorded.run import Count, RecordedRun, RecordedSystem
from gateway.contracts.evaluations import Metric, Rule

_MIB_PER_GIB = 1024
_BYTES_PER_GB = 10**9


def findings(run: RecordedRun, chosen: RecordedSystem) -> tuple[str, ...]:
    return (
        *_size_reduction(run, chosen),
        *_narrow_lead(run, chosen),
        *_unmet_by_interval(run, chosen),
        *_counted_twice(run),
        *_unit(run, chosen),
        *_blind_speed_set(run),
        *_saturated_categories(run),
    )


def _size_reduction(run: RecordedRun, chosen: RecordedSystem) -> Iterator[str]:
    claimed = run.claims.size_reduction_percent
    ours = chosen.speed.disk_gib
    for other in alternatives(run, chosen):
        theirs = other.speed.disk_gib
        if claimed is None or ours is None or theirs is None:
            continue
        smaller = 100 * (1 - ours / theirs)
        if round(smaller) != claimed:
            yield (
                f"Size: {ours:.2f} is {smaller:.1f}% smaller than {theirs:.2f}, not {claimed}%. "
                f"({other.name} is {100 * (theirs / ours - 1):.1f}% larger.)"
            )


def _narrow_lead(run: RecordedRun, chosen: RecordedSystem) -> Iterator[str]:
    ours = chosen.validation.accuracy
    for other in alternatives(run, chosen):
        theirs = other.validation.accuracy
        if ours is None or theirs is None or ours.of != theirs.of:
            continue
        queries = abs(ours.right - theirs.right)
        if _overlap(ours, theirs):
            yield (
                f"Accuracy: {percent(ours.ratio)} against {percent(theirs.ratio)} is "
                f"{'one query' if queries == 1 else f'{queries} queries'} of {ours.of}. The 95% intervals "
                f"(Wilson), {_wilson(ours)} and {_wilson(theirs)}, overlap: neither is shown to be the better."
            )


def _unmet_by_interval(run: RecordedRun, chosen: RecordedSystem) -> Iterator[str]:
    counts = {Metric.ACCURACY: chosen.validation.accuracy, Metric.FIELD_ACCESS: chosen.validation.field_access}
    for criterion in run.criteria:
        count = counts.get(criterion.metric)
        if count is None or criterion.rule is not Rule.AT_LEAST:
            continue
        if wilson_interval(count.right, count.of).low < criterion.bound <= count.ratio:
            yield (
                f"Floor: {proportion(count.right, count.of)} meets {criterion.name} of {percent(criterion.bound)}, but "
                f"its interval, {_wilson(count)}, reaches below it: the floor is not established."
            )


def _counted_twice(run: RecordedRun) -> Iterator[str]:
    """Whether, in every system, field access is the accuracy on all queries but those of one category."""
    for key, title in run.categories.items():
        parts = [
            (it.accuracy, it.field_access, it.categories.get(key)) for it in (each.validation for each in run.systems)
        ]
        if all(whole and field and rest and _is_sum(whole, field, rest) for whole, field, rest in parts):
            of = next(field.of for _, field, _ in parts if field)
            yield (
                f"Field access is the accuracy on the {of} queries outside category {key} ({title}), counted a second "
                f"time: in each of the {len(parts)} systems the two add up to the overall count. "
                "The two criteria are one measurement."
            )


def _unit(run: RecordedRun, chosen: RecordedSystem) -> Iterator[str]:
    warning, unit = run.claims.memory_warning, run.claims.size_unit
    if warning is None or unit is None:
        return
    published = run.system(warning.system).speed.memory_gib
    in_gib = Decimal(warning.required_mib) / _MIB_PER_GIB
    if unit == "GiB" or published is None or round(in_gib, 2) != published:
        return
    words = (
        f'Unit: the sizes called {unit} are GiB. The quoted warning, "{warning.required_mib} MB" for {warning.system}, '
        f"counts MiB, and {warning.required_mib} / {_MIB_PER_GIB} = {in_gib:.2f} is the figure in the table."
    )
    ceiling = next((each.bound for each in run.criteria if each.metric is Metric.MEMORY_BYTES), None)
    ours = chosen.speed.memory_gib
    if ceiling is not None and ours is not None:
        in_gb = ours * GIB / _BYTES_PER_GB
        bound_gib = Decimal(ceiling) / GIB
        if in_gb > bound_gib:
            words += (
                f" {ours:.2f} GiB is {in_gb:.2f} GB: it meets a ceiling of {bound_gib:.0f} GiB and misses one of "
                f"{bound_gib:.0f} GB."
            )
    yield words


def _blind_speed_set(run: RecordedRun) -> Iterator[str]:
    for system in run.systems:
        speed, validation = system.speed.accuracy, system.validation.accuracy
        if speed and validation and speed.right == speed.of and not meets_floors(run, system):
            yield (
                f"Speed set: {system.name}, right on {proportion(validation.right, validation.of)} of the validation "
                f"suite, scores {proportion(speed.right, speed.of)} on it. It cannot tell a broken model, and a mean "
                f"of {speed.of} times without their spread supports no interval."
            )


def _saturated_categories(run: RecordedRun) -> Iterator[str]:
    for key, title in run.categories.items():
        counts = [system.validation.categories.get(key) for system in run.systems]
        if all(count and count.right == count.of for count in counts):
            yield f"Category {key} ({title}) is fully right in every system, so it distinguishes none."


def _is_sum(whole: Count, one: Count, other: Count) -> bool:
    return whole.right == one.right + other.right and whole.of == one.of + other.of


def _overlap(one: Count, other: Count) -> bool:
    a, b = wilson_interval(one.right, one.of), wilson_interval(other.right, other.of)
    return a.low <= b.high and b.low <= a.high


def _wilson(count: Count) -> str:
    found = wilson_interval(count.right, count.of)
    return interval(found.low, found.high, Metric.ACCURACY)
