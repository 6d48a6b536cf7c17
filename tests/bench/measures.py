"""From traces to figures. Pure."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from tests.bench.workload import Trace

Figures = dict[str, float]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the percentile (linear between the two nearest), NaN of nothing."""
    return float(np.percentile(values, percent)) if values else float("nan")


def answered(traces: Iterable[Trace]) -> list[Trace]:
    """Return the requests of the foreground that were answered whole."""
    return [trace for trace in traces if not trace.background and not trace.error]


def error_count(traces: Iterable[Trace]) -> int:
    return sum(bool(trace.error) for trace in traces)


def output_tokens_per_s(traces: Sequence[Trace]) -> float:
    """Return all tokens of whole answers over the time from the first request to the end of the last."""
    done = answered(traces)
    if not done:
        return 0.0
    took_s = max(trace.ended_s for trace in done) - min(trace.started_s for trace in done)
    return sum(trace.completion_tokens for trace in done) / took_s


def first_token_times_s(traces: Iterable[Trace]) -> list[float]:
    return [trace.delta_times_s[0] - trace.started_s for trace in traces if trace.delta_times_s]


def gaps_s(traces: Iterable[Trace]) -> list[float]:
    """Return the times between one piece of text and the next of the same answer."""
    return [later - earlier for trace in traces for earlier, later in pairwise(trace.delta_times_s)]


def gaps_within(trace: Trace, from_s: float, until_s: float) -> list[float]:
    """Return the gaps that end between two moments."""
    return [later - earlier for earlier, later in pairwise(trace.delta_times_s) if from_s <= later <= until_s]


def throughput(traces: Sequence[Trace]) -> Figures:
    first = first_token_times_s(answered(traces))
    return {
        "output_tokens_per_s": output_tokens_per_s(traces),
        "ttft_p50_s": percentile(first, 50),
        "ttft_p95_s": percentile(first, 95),
        "errors": error_count(traces),
    }


def evenness(traces: Sequence[Trace]) -> Figures:
    gaps = gaps_s(answered(traces))
    median, high = percentile(gaps, 50), percentile(gaps, 99)
    return {
        "itl_p50_s": median,
        "itl_p99_s": high,
        "itl_p99_over_p50": high / median if median else float("nan"),
        "output_tokens_per_s": output_tokens_per_s(traces),
        "errors": error_count(traces),
    }


def conversations(traces: Sequence[Trace]) -> Figures:
    done = answered(traces)
    return {
        "output_tokens_per_s": output_tokens_per_s(traces),
        "ttft_first_turn_p50_s": percentile(first_token_times_s(trace for trace in done if trace.turn == 0), 50),
        "ttft_later_turns_p50_s": percentile(first_token_times_s(trace for trace in done if trace.turn > 0), 50),
        "errors": error_count(traces),
    }


def burst(traces: Sequence[Trace], after: Sequence[Trace]) -> Figures:
    """Figures of many clients at once, and of `after`: one that came when they were through."""
    refused = [trace for trace in traces if trace.status in {429, 503}]
    whole = answered(traces)
    return {
        "answered": len(whole),
        "refused": len(refused),
        "refused_slowest_s": max((trace.ended_s - trace.started_s for trace in refused), default=0.0),
        "refused_without_retry_after": sum(not trace.retry_after for trace in refused),
        "lost": len(traces) - len(whole) - len(refused),
        "after_errors": error_count(after),
        "after_ttft_s": percentile(first_token_times_s(after), 50),
    }
