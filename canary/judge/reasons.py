"""Put measured quantities and rules into words."""

from gateway.contracts.evaluations import Criterion, Metric, Rule

_GIB = 1024**3


def quantity_in_words(value: float, metric: Metric) -> str:
    """Return a level: `92.0 %`, `2.53 s`, `19.55 GiB (20,991,650,201 bytes)`."""
    if metric.higher_is_better:
        return f"{100 * value:.1f} %"
    if metric in {Metric.MEMORY_BYTES, Metric.DISK_BYTES}:
        return f"{value / _GIB:.2f} GiB ({value:,.0f} bytes)"
    return f"{value:.2f} s"


def signed_in_words(value: float, metric: Metric) -> str:
    """Return a difference, candidate minus incumbent: `+4.0 points`, `-3.23 s`, `-3.56 GiB`."""
    if metric.higher_is_better:
        return f"{100 * value:+.1f} points"
    if metric in {Metric.MEMORY_BYTES, Metric.DISK_BYTES}:
        return f"{value / _GIB:+.2f} GiB"
    return f"{value:+.2f} s"


def interval_in_words(low: float | None, high: float | None, metric: Metric, *, signed: bool) -> str:
    """Return `95 % interval ... to ..., `, ready to be followed by a count; empty where there is no interval."""
    if low is None or high is None:
        return ""
    words = signed_in_words if signed else quantity_in_words
    return f"95 % interval {words(low, metric)} to {words(high, metric)}, "


def rule_in_words(criterion: Criterion, *, holds: bool) -> str:
    """Return how a figure stands to the criterion's bound."""
    bound = quantity_in_words(criterion.bound, criterion.metric)
    match criterion.rule:
        case Rule.AT_LEAST:
            return f"at least the floor of {bound}" if holds else f"below the floor of {bound}"
        case Rule.AT_MOST:
            return f"at most the ceiling of {bound}" if holds else f"above the ceiling of {bound}"
        case Rule.NO_WORSE_THAN:
            margin = signed_in_words(criterion.bound, criterion.metric).lstrip("+-")
            return f"{'within' if holds else 'worse than the incumbent by more than'} the margin of {margin}"
