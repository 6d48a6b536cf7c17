"""What was read of the systems' memory, a row a figure, a column a system."""

from collections.abc import Callable, Sequence

from canary.judge import memory_figure
from canary.report.quantities import NOT_MEASURED, gib_with_bytes, quantity
from canary.report.systems import Contestant
from canary.report.table import Table
from gateway.contracts.evaluations import Evaluation, Metric, System
from gateway.contracts.memory import MemoryRecord

_FIGURES = {
    Metric.MEMORY_STEADY_BYTES: "Steady: active after a request",
    Metric.MEMORY_PEAK_BYTES: "Peak at the declared context",
    Metric.MEMORY_PEAK_RATIO: "Peak, as a share of the limit",
    Metric.MEMORY_SLOPE_BYTES_PER_TOKEN: "Slope",
    Metric.MEMORY_LEAK_BYTES_PER_REQUEST: "Left behind, at least",
    Metric.FOOTPRINT_BYTES: "Physical footprint, at most",
    Metric.SWAP_GROWTH_BYTES: "Growth of swap",
    Metric.LOAD_TIME_COLD_S: "Load time, cold",
    Metric.LOAD_TIME_WARM_S: "Load time, warm",
}


def memory_tables(evaluation: Evaluation, entered: Sequence[Contestant]) -> tuple[Table, ...]:
    """Return the table; none where memory was not measured beyond the load."""
    records = {record.system: record for record in evaluation.memory}
    if not records:
        return ()
    tokens = max(record.context_tokens for record in records.values())

    def row(title: str, figure: Callable[[System, MemoryRecord | None], str]) -> tuple[str, ...]:
        return title, *(figure(each.system, records.get(position)) for position, each in enumerate(entered))

    return (
        Table(
            title="Memory",
            header=("Figure", *(f"{each.label} ({each.system.role})" for each in entered)),
            rows=(
                row("Predicted: weights as stored", lambda system, _: gib_with_bytes(system.predicted_bytes)),
                row(
                    f"Predicted: and {tokens:,} tokens of context",
                    lambda system, _: gib_with_bytes(
                        system.predicted_bytes + tokens * system.variant.engine.kv_bytes_per_token
                    ),
                ),
                row("Measured at load", lambda system, _: gib_with_bytes(system.active_bytes)),
                *(row(title, _measured(metric)) for metric, title in _FIGURES.items()),
            ),
            notes=tuple(_notes(entered, records)),
        ),
    )


def _measured(metric: Metric) -> Callable[[System, MemoryRecord | None], str]:
    def figure(_: System, record: MemoryRecord | None) -> str:
        value = None if record is None else memory_figure(record, metric)
        return NOT_MEASURED if value is None else quantity(value, metric)

    return figure


def _notes(entered: Sequence[Contestant], records: dict[int, MemoryRecord]) -> list[str]:
    notes = [f"The limit is {gib_with_bytes(next(iter(records.values())).limit_bytes)}, for all engines together."]
    if any(each.system.dequantised for each in entered):
        notes.append("Measured with dequantised weights: more than the product's.")
    for position, record in records.items():
        label = entered[position].label
        if record.problem is not None:
            notes.append(f"{label}: the readings ended early ({record.problem}).")
        if record.production_requests:
            notes.append(f"{label}: {record.production_requests} production requests ran meanwhile.")
    return notes
