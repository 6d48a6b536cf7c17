"""What readings of memory say of one system: not statistics of many runs, but the worst of those that were made."""

import math

import msgspec

from canary.judge.statistics import Line, fitted_line
from gateway.contracts.evaluations import Outcome

LEAK_LIMIT_BYTES = 64 * 1024
"""Growth by one request that is borne: allocators keep some of what they are given back."""
LEAK_REQUESTS = 20
"""Repeats below which a slope is too uncertain to be called a leak."""


class MemoryReadings(msgspec.Struct, frozen=True, kw_only=True):
    """Readings of one system, in bytes, each in the order they were made."""

    steady_bytes: tuple[int, ...]
    """After warm-up, with nothing in flight; one of each load."""
    peak_bytes: tuple[int, ...]
    """The highest while the declared context was read; one of each run."""
    at_context: tuple[tuple[int, int], ...]
    """Tokens in the context, and bytes in use."""
    after_request: tuple[int, ...]
    """In use after each of many equal requests."""
    swap_before_bytes: int
    swap_after_bytes: int


class MemoryFigures(msgspec.Struct, frozen=True, kw_only=True):
    steady_bytes: int | None
    peak_bytes: int | None
    slope_bytes_per_token: float | None
    leak_bytes_per_request: float | None
    leak_low_bytes: float | None
    """The one-sided bound below the leak's slope."""
    swap_growth_bytes: int


class MemoryVerdict(msgspec.Struct, frozen=True, kw_only=True):
    outcome: Outcome
    reasons: tuple[str, ...]
    """Why it is not passed."""


def memory_figures(readings: MemoryReadings, *, z: float) -> MemoryFigures:
    """Return the worst reading of each kind, and slopes by least squares; None of what was not read often enough."""
    slope = fitted_line([float(tokens) for tokens, _ in readings.at_context], [b for _, b in readings.at_context], z=z)
    leak: Line | None = None
    if len(readings.after_request) >= LEAK_REQUESTS:
        leak = fitted_line([float(at) for at in range(len(readings.after_request))], readings.after_request, z=z)
    return MemoryFigures(
        steady_bytes=max(readings.steady_bytes, default=None),
        peak_bytes=max(readings.peak_bytes, default=None),
        slope_bytes_per_token=None if slope is None else slope.slope,
        leak_bytes_per_request=None if leak is None else leak.slope,
        leak_low_bytes=None if leak is None or not math.isfinite(leak.low) else leak.low,
        swap_growth_bytes=readings.swap_after_bytes - readings.swap_before_bytes,
    )


def judge_memory(figures: MemoryFigures, *, limit_bytes: int) -> MemoryVerdict:
    """Fail a peak above the limit, any growth of swap and a leak; inconclusive where the peak was not read."""
    failed: list[str] = []
    if figures.swap_growth_bytes > 0:
        failed.append(f"swap grew by {figures.swap_growth_bytes:,} bytes")
    highest = max((size for size in (figures.peak_bytes, figures.steady_bytes) if size is not None), default=0)
    if highest > limit_bytes:
        failed.append(f"{highest:,} bytes in use are above the limit of {limit_bytes:,} bytes")
    if figures.leak_low_bytes is not None and figures.leak_low_bytes > LEAK_LIMIT_BYTES:
        failed.append(f"each request leaves at least {figures.leak_low_bytes:,.0f} bytes behind")
    if failed:
        return MemoryVerdict(outcome=Outcome.FAILED, reasons=tuple(failed))
    missing = [
        name
        for name, value in (("peak", figures.peak_bytes), ("leak", figures.leak_bytes_per_request))
        if value is None
    ]
    if missing:
        return MemoryVerdict(outcome=Outcome.INCONCLUSIVE, reasons=tuple(f"no {name} was measured" for name in missing))
    return MemoryVerdict(outcome=Outcome.PASSED, reasons=())
