"""The tables of a recorded run, from its published figures."""

from collections.abc import Callable
from decimal import Decimal

from canary.report.contest import Entry, winner_of
from canary.report.quantities import GIB, NOT_RECORDED, difference, proportion, quantity, rule, seconds
from canary.report.recorded.criteria import meets_floors, standing
from canary.report.recorded.run import Count, RecordedRun, RecordedSystem
from canary.report.table import Table
from gateway.contracts.evaluations import Criterion, Metric

_SIZES = {Metric.MEMORY_BYTES, Metric.DISK_BYTES}


def validation_table(run: RecordedRun) -> Table:
    return Table(
        title=f"Validation Suite{_queries(run, lambda system: system.validation.accuracy)}",
        header=_header(run),
        rows=(
            _count_row(run, "Overall accuracy", lambda system: system.validation.accuracy),
            _count_row(run, "Field access rate", lambda system: system.validation.field_access),
            *(
                _count_row(run, title, lambda system, key=key: system.validation.categories.get(key))
                for key, title in run.categories.items()
                if all(key in system.validation.categories for system in run.systems)
            ),
        ),
        notes=("A row is won among the systems that meet the accuracy floors; equal figures tie.",),
    )


def categories_table(run: RecordedRun) -> Table:
    return Table(
        title="Category breakdown",
        header=("Category", *(system.name for system in run.systems)),
        rows=tuple(
            (f"{key}. {title}", *(count_text(system.validation.categories.get(key)) for system in run.systems))
            for key, title in run.categories.items()
        ),
    )


def speed_table(run: RecordedRun) -> Table:
    return Table(
        title=f"Speed Benchmark{_queries(run, lambda system: system.speed.accuracy)}",
        header=_header(run),
        rows=(
            _figure_row(run, "Avg gen time", lambda system: system.speed.generation_time_s, seconds),
            _figure_row(run, "Load time", lambda system: system.speed.load_time_s, seconds),
            _figure_row(run, "Memory", lambda system: system.speed.memory_gib, size_text),
            _figure_row(run, "Disk size", lambda system: system.speed.disk_gib, size_text),
            _count_row(run, "Accuracy", lambda system: system.speed.accuracy),
        ),
    )


def decision_table(run: RecordedRun) -> Table:
    return Table(
        title="Decision Matrix",
        header=("Criterion", *(system.name for system in run.systems)),
        rows=tuple(
            (rule(criterion), *(_standing_text(criterion, system) for system in run.systems))
            for criterion in run.criteria
        ),
    )


def comparison_table(run: RecordedRun, chosen: RecordedSystem) -> Table:
    """Return what the chosen system adds over the baseline; a difference where both figures were published."""
    base = run.system(run.baseline)
    ours, theirs = chosen.validation, base.validation
    counts = (
        ("Overall accuracy", theirs.accuracy, ours.accuracy),
        ("Field access rate", theirs.field_access, ours.field_access),
        *((title, theirs.categories.get(key), ours.categories.get(key)) for key, title in run.categories.items()),
    )
    figures = (
        ("Avg gen time", Metric.GENERATION_TIME_S),
        ("Load time", Metric.LOAD_TIME_S),
        ("Memory", Metric.MEMORY_BYTES),
        ("Disk size", Metric.DISK_BYTES),
    )
    return Table(
        title=f"Comparison with {base.name}",
        header=("Figure", base.name, chosen.name, "Difference"),
        rows=(
            *(
                (title, count_text(before), count_text(after), _points(before, after))
                for title, before, after in counts
            ),
            *(
                (title, _figure(base, metric), _figure(chosen, metric), _change(base, chosen, metric))
                for title, metric in figures
            ),
        ),
    )


def count_text(count: Count | None) -> str:
    return NOT_RECORDED if count is None else proportion(count.right, count.of)


def size_text(size_gib: Decimal) -> str:
    return f"{size_gib:.2f} GiB"


def _header(run: RecordedRun) -> tuple[str, ...]:
    return ("Metric", *(system.name for system in run.systems), "Winner")


def _queries(run: RecordedRun, count: Callable[[RecordedSystem], Count | None]) -> str:
    """Return ` (25 queries)` where all systems that have the count agree on it."""
    totals = {found.of for found in map(count, run.systems) if found is not None}
    return f" ({totals.pop()} queries)" if len(totals) == 1 else ""


def _count_row(run: RecordedRun, title: str, count: Callable[[RecordedSystem], Count | None]) -> tuple[str, ...]:
    found = [(system, count(system)) for system in run.systems]
    entries = [
        Entry(
            label=system.name,
            value=None if it is None else it.ratio,
            printed=count_text(it),
            eligible=meets_floors(run, system),
        )
        for system, it in found
    ]
    return title, *(entry.printed for entry in entries), winner_of(entries, higher_is_better=True)


def _figure_row(
    run: RecordedRun,
    title: str,
    figure: Callable[[RecordedSystem], Decimal | None],
    printed: Callable[[Decimal], str],
) -> tuple[str, ...]:
    found = [(system, figure(system)) for system in run.systems]
    entries = [
        Entry(
            label=system.name,
            value=it,
            printed=NOT_RECORDED if it is None else printed(it),
            eligible=meets_floors(run, system),
        )
        for system, it in found
    ]
    return title, *(entry.printed for entry in entries), winner_of(entries, higher_is_better=False)


def _standing_text(criterion: Criterion, system: RecordedSystem) -> str:
    found = standing(criterion, system)
    if found.margin is None:
        return NOT_RECORDED
    distance = _distance(abs(found.margin), criterion.metric)
    return f"{_figure(system, criterion.metric)}: {'met' if found.met else 'missed'} by {distance}"


def _figure(system: RecordedSystem, metric: Metric) -> str:
    observed = system.observed(metric)
    if observed is None:
        return NOT_RECORDED
    if metric is Metric.ACCURACY:
        return count_text(system.validation.accuracy)
    if metric is Metric.FIELD_ACCESS:
        return count_text(system.validation.field_access)
    return size_text(observed / GIB) if metric in _SIZES else quantity(float(observed), metric)


def _distance(amount: Decimal, metric: Metric) -> str:
    return size_text(amount / GIB) if metric in _SIZES else difference(float(amount), metric).removeprefix("+")


def _points(before: Count | None, after: Count | None) -> str:
    if before is None or after is None:
        return NOT_RECORDED
    return difference(after.ratio - before.ratio, Metric.ACCURACY) if before.ratio != after.ratio else "same"


def _change(base: RecordedSystem, chosen: RecordedSystem, metric: Metric) -> str:
    before, after = base.observed(metric), chosen.observed(metric)
    if before is None or after is None:
        return NOT_RECORDED
    if before == after:
        return "same"
    words = f"{(after - before) / GIB:+.2f} GiB" if metric in _SIZES else f"{after - before:+.2f}s"
    return f"{words} ({100 * (after / before - 1):+.1f}%)"
