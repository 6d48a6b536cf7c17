"""Print figures with their units: seconds, GiB, percentages with their counts."""

from decimal import Decimal

from gateway.contracts.evaluations import Criterion, Level, Metric, Rule, Statistic

GIB = 1024**3
NOT_MEASURED = "not measured"
NOT_RECORDED = "not recorded"

_METRICS = {
    Metric.ACCURACY: "accuracy",
    Metric.FIELD_ACCESS: "field access",
    Metric.GENERATION_TIME_S: "generation time",
    Metric.TIME_TO_FIRST_TOKEN_S: "time to first token",
    Metric.TIME_PER_OUTPUT_TOKEN_S: "time per output token",
    Metric.END_TO_END_S: "end to end",
    Metric.MEMORY_BYTES: "memory",
    Metric.MEMORY_STEADY_BYTES: "steady memory",
    Metric.MEMORY_PEAK_BYTES: "peak memory",
    Metric.MEMORY_PEAK_RATIO: "peak memory, as a share of the limit,",
    Metric.MEMORY_SLOPE_BYTES_PER_TOKEN: "memory of a token",
    Metric.MEMORY_LEAK_BYTES_PER_REQUEST: "memory that a request leaves behind",
    Metric.FOOTPRINT_BYTES: "physical footprint",
    Metric.SWAP_GROWTH_BYTES: "growth of swap",
    Metric.LOAD_TIME_S: "load time",
    Metric.LOAD_TIME_COLD_S: "cold load time",
    Metric.LOAD_TIME_WARM_S: "warm load time",
    Metric.DISK_BYTES: "disk",
}
SIZES = {
    Metric.MEMORY_BYTES,
    Metric.MEMORY_STEADY_BYTES,
    Metric.MEMORY_PEAK_BYTES,
    Metric.FOOTPRINT_BYTES,
    Metric.SWAP_GROWTH_BYTES,
    Metric.DISK_BYTES,
}
_RATES = {
    Metric.MEMORY_SLOPE_BYTES_PER_TOKEN: "bytes a token",
    Metric.MEMORY_LEAK_BYTES_PER_REQUEST: "bytes a request",
}


def percent(ratio: float) -> str:
    """Return `92%`, `67.5%`: one decimal at most, and none where it is zero."""
    return f"{100 * ratio:.1f}".removesuffix(".0") + "%"


def proportion(right: int, of: int) -> str:
    """Return `92% (23/25)`."""
    return f"{percent(right / of)} ({right}/{of})"


def seconds(value: float | Decimal) -> str:
    return f"{value:.2f}s"


def short_time(value: float) -> str:
    """Return `0.0123s`: of a single token, or of the first."""
    return f"{value:.4f}s"


def gib(size_bytes: float) -> str:
    """Return `19.55 GiB`; three decimals below 1 GiB, where two would hide a difference."""
    amount = size_bytes / GIB
    return f"{amount:.2f} GiB" if amount >= 1 else f"{amount:.3f} GiB"


def gib_with_bytes(size_bytes: float) -> str:
    """Return `20.00 GiB (21,474,836,480 bytes)`."""
    return f"{gib(size_bytes)} ({size_bytes:,.0f} bytes)"


def quantity(value: float, metric: Metric) -> str:
    """Return a level in its metric's unit."""
    if metric.higher_is_better or metric is Metric.MEMORY_PEAK_RATIO:
        return percent(value)
    if metric in SIZES:
        return gib_with_bytes(value)
    if metric in _RATES:
        return f"{value:,.0f} {_RATES[metric]}"
    return short_time(value) if metric is Metric.TIME_PER_OUTPUT_TOKEN_S else seconds(value)


def metric_title(metric: Metric) -> str:
    """Return the metric's name as a row's title: `Time to first token`."""
    name = _METRICS[metric].removesuffix(",")
    return name[0].upper() + name[1:]


def difference(value: float, metric: Metric) -> str:
    """Return a difference with its sign: `+4 points`, `-3.23s`, `-3.56 GiB`."""
    if metric.higher_is_better or metric is Metric.MEMORY_PEAK_RATIO:
        return f"{100 * value:+.1f}".removesuffix(".0") + " points"
    if metric in SIZES:
        return f"{value / GIB:+.3f} GiB"
    if metric in _RATES:
        return f"{value:+,.0f} {_RATES[metric]}"
    return f"{value:+.4f}s" if metric is Metric.TIME_PER_OUTPUT_TOKEN_S else f"{value:+.2f}s"


def amount(value: float, criterion: Criterion) -> str:
    """Return a criterion's figure or bound: a level, or for a comparison a difference or a part (`+7.3%`)."""
    if criterion.statistic is Statistic.RATIO:
        return f"{100 * value:+.1f}%"
    words = difference if criterion.rule is Rule.NO_WORSE_THAN else quantity
    return words(value, criterion.metric)


def level(measured: Level, metric: Metric) -> str:
    """Return a level with its count, `92% (23/25)`, and without its interval."""
    if measured.value is None:
        return NOT_MEASURED
    if not metric.higher_is_better:
        return quantity(measured.value, metric)
    right = measured.value * measured.n
    if abs(right - round(right)) > 1e-6:  # noqa: PLR2004 - graded in parts, so there is no whole count
        return f"{percent(measured.value)} (n={measured.n})"
    return proportion(round(right), measured.n)


def interval(low: float | None, high: float | None, metric: Metric, *, signed: bool = False) -> str:
    """Return `75% to 97.8%`, or nothing where there is no interval."""
    if low is None or high is None:
        return ""
    words = difference if signed else quantity
    return f"{words(low, metric)} to {words(high, metric)}"


def rule(criterion: Criterion) -> str:
    """Return what a criterion demands: `accuracy at least 80%`, `memory at most 20.00 GiB (21,474,836,480 bytes)`."""
    subject = _subject(criterion) + _subgroup(criterion)
    match criterion.rule:
        case Rule.AT_LEAST:
            return f"{subject} at least {quantity(criterion.bound, criterion.metric)}"
        case Rule.AT_MOST:
            return f"{subject} at most {quantity(criterion.bound, criterion.metric)}"
        case Rule.NO_WORSE_THAN:
            margin = amount(criterion.bound, criterion).removeprefix("+")
            return f"{subject} no worse than the incumbent's by more than {margin}"


def _subgroup(criterion: Criterion) -> str:
    return (
        (f" in {criterion.category}" if criterion.category else "")
        + (f" of cases tagged {criterion.tag}" if criterion.tag else "")
        + (f" at {criterion.concurrency} requests" if criterion.concurrency else "")
    )


def _subject(criterion: Criterion) -> str:
    name = _METRICS[criterion.metric]
    match criterion.statistic:
        case Statistic.MEAN:
            return f"mean {name}" if criterion.metric.is_time else name
        case Statistic.LOWER_BOUND | Statistic.UPPER_BOUND:
            return f"{criterion.statistic.replace('_', ' ')} of {name}"
        case Statistic.RATIO:
            return f"{name}, as a ratio,"
        case _:
            return f"{criterion.statistic} of {name}"
