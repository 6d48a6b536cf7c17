"""What readings of memory say of one system: not statistics of many runs, but the worst of those that were made."""

import math
from collections.abc import Sequence

from canary.judge.statistics import fitted_line
from gateway.contracts.evaluations import Metric
from gateway.contracts.memory import MemoryReading, MemoryRecord

LEAK_REQUESTS = 20
"""Repeats below which a slope is too uncertain to be called a leak."""
_REACHED_RATIO = 0.9
"""Of the declared context, that must have been read: prompts cannot be made to the token."""
_Z_95 = 1.6448536269514722
"""One-sided."""


def memory_figure(record: MemoryRecord, metric: Metric) -> float | None:  # noqa: C901, PLR0911 - one line a metric
    """Return what the memory phase measured; None of what was not read, or not often enough."""
    match metric:
        case Metric.MEMORY_STEADY_BYTES:
            return None if record.steady is None else float(record.steady.active_bytes)
        case Metric.MEMORY_PEAK_BYTES:
            return _peak(record)
        case Metric.MEMORY_PEAK_RATIO:
            peak = _peak(record)
            return None if peak is None or record.limit_bytes <= 0 else peak / record.limit_bytes
        case Metric.MEMORY_SLOPE_BYTES_PER_TOKEN:
            tokens = [float(each.tokens) for each in record.contexts]
            line = fitted_line(tokens, [each.reading.peak_bytes for each in record.contexts], z=_Z_95)
            return None if line is None else line.slope
        case Metric.MEMORY_LEAK_BYTES_PER_REQUEST:
            return _leak(record.after_request)
        case Metric.FOOTPRINT_BYTES:
            return max((float(reading.footprint_bytes) for reading in _readings(record)), default=None)
        case Metric.SWAP_GROWTH_BYTES:
            if record.swap_before_bytes is None or record.swap_after_bytes is None:
                return None
            return float(max(record.swap_after_bytes - record.swap_before_bytes, 0))
        case Metric.LOAD_TIME_COLD_S:
            return record.load_time_cold_s
        case Metric.LOAD_TIME_WARM_S:
            return record.load_time_warm_s
        case _:
            return None


def _peak(record: MemoryRecord) -> float | None:
    longest = max((each.tokens for each in record.contexts), default=0)
    if longest < _REACHED_RATIO * record.context_tokens:
        return None
    return float(max(each.reading.peak_bytes for each in record.contexts))


def _leak(readings: Sequence[MemoryReading]) -> float | None:
    """Return the bound below the growth of what is in use by one request: noise is no leak."""
    if len(readings) < LEAK_REQUESTS:
        return None
    line = fitted_line(
        [float(number) for number in range(len(readings))], [reading.active_bytes for reading in readings], z=_Z_95
    )
    return None if line is None or not math.isfinite(line.low) else max(line.low, 0.0)


def _readings(record: MemoryRecord) -> tuple[MemoryReading, ...]:
    steady = () if record.steady is None else (record.steady,)
    return (*steady, *(each.reading for each in record.contexts), *record.after_request)
