"""The decision matrix of one Evaluation: what was measured, a row a figure, a column a system, and who wins the row."""

from collections.abc import Callable, Iterator, Sequence

from canary.report.contest import DEQUANTISED, Entry, winner_of
from canary.report.quantities import NOT_MEASURED, gib, interval, level, seconds
from canary.report.systems import Contestant
from canary.report.table import Table
from gateway.contracts.evaluations import Evaluation, Metric, System


def decision_matrix(evaluation: Evaluation, entered: tuple[Contestant, ...]) -> Table:
    """Return accuracy overall and by category, field access where measured, times, memory and disk."""
    return Table(
        title="Decision matrix",
        header=("Figure", *(f"{each.label} ({each.system.role})" for each in entered), "Winner"),
        rows=tuple(_rows(evaluation, entered)),
        notes=(
            "Ranges are 95% intervals. A row is won among the systems that meet the required accuracy floors.",
            "Memory is counted after load and before any request, so without key-value cache.",
        ),
    )


def _rows(evaluation: Evaluation, entered: tuple[Contestant, ...]) -> Iterator[tuple[str, ...]]:
    yield _level_row("Accuracy, overall", entered, Metric.ACCURACY)
    for category, title in evaluation.suite.categories.items():
        if any((Metric.ACCURACY, category) in each.levels for each in entered):
            yield _level_row(f"Accuracy: {title}", entered, Metric.ACCURACY, category)
    if any((Metric.FIELD_ACCESS, None) in each.levels for each in entered):
        yield _level_row("Field access", entered, Metric.FIELD_ACCESS)
    apart = evaluation.latency
    title = "Generation time, mean" if apart is None else f"End to end, {apart.output_tokens} tokens, mean"
    yield _level_row(title, entered, Metric.GENERATION_TIME_S)
    yield _level_row("Time to first token, mean", entered, Metric.TIME_TO_FIRST_TOKEN_S)
    yield _system_row("Load time", entered, lambda system: system.load_time_s, seconds, hardware_bound=True)
    yield _system_row("Memory, predicted: weights as stored", entered, lambda system: system.predicted_bytes, gib)
    yield _system_row(
        _measured_memory_title(entered), entered, lambda system: system.active_bytes, gib, hardware_bound=True
    )
    yield _system_row("Disk", entered, lambda system: system.disk_bytes, gib)


def _level_row(
    title: str, entered: Sequence[Contestant], metric: Metric, category: str | None = None
) -> tuple[str, ...]:
    entries: list[Entry] = []
    cells: list[str] = []
    for each in entered:
        found = each.levels.get((metric, category))
        printed = NOT_MEASURED if found is None else level(found, metric)
        value = None if found is None else found.value
        entries.append(Entry(label=each.label, value=value, printed=printed, eligible=each.meets_floors))
        spread = "" if found is None else interval(found.low, found.high, metric)
        cells.append(f"{printed}, {spread}" if spread else printed)
    winner = (
        DEQUANTISED
        if metric.is_time and _any_dequantised(entered)
        else winner_of(entries, higher_is_better=metric.higher_is_better)
    )
    return title, *cells, winner


def _system_row(
    title: str,
    entered: Sequence[Contestant],
    figure: Callable[[System], float],
    printed: Callable[[float], str],
    *,
    hardware_bound: bool = False,
) -> tuple[str, ...]:
    """`hardware_bound` says that dequantised weights make the figure another thing than the product's."""
    entries = [
        Entry(
            label=each.label,
            value=figure(each.system),
            printed=printed(figure(each.system)),
            eligible=each.meets_floors,
        )
        for each in entered
    ]
    winner = DEQUANTISED if hardware_bound and _any_dequantised(entered) else winner_of(entries, higher_is_better=False)
    return title, *(entry.printed for entry in entries), winner


def _measured_memory_title(entered: Sequence[Contestant]) -> str:
    return f"Memory, measured{': weights dequantised' if _any_dequantised(entered) else ''}"


def _any_dequantised(entered: Sequence[Contestant]) -> bool:
    return any(each.system.dequantised for each in entered)
