"""Put measured quantities and rules into words."""

import math

from canary.judge.figure import Figure
from canary.judge.harm import Harm
from gateway.contracts.evaluations import Criterion, Metric, Rule, Statistic

_GIB = 1024**3
_BYTES = frozenset(
    {
        Metric.MEMORY_BYTES,
        Metric.MEMORY_STEADY_BYTES,
        Metric.MEMORY_PEAK_BYTES,
        Metric.FOOTPRINT_BYTES,
        Metric.SWAP_GROWTH_BYTES,
        Metric.DISK_BYTES,
    }
)


def quantity_in_words(value: float, metric: Metric) -> str:
    """Return a level: `92.0 %`, `2.53 s`, `19.55 GiB (20,991,650,201 bytes)`."""
    if metric.higher_is_better or metric is Metric.MEMORY_PEAK_RATIO:
        return f"{100 * value:.1f} %"
    if metric in _BYTES:
        return f"{value / _GIB:.2f} GiB ({value:,.0f} bytes)"
    return _small_in_words(value, metric, sign="")


def signed_in_words(value: float, metric: Metric) -> str:
    """Return a difference, candidate minus incumbent: `+4.0 points`, `-3.23 s`, `-3.56 GiB`."""
    if metric.higher_is_better or metric is Metric.MEMORY_PEAK_RATIO:
        return f"{100 * value:+.1f} points"
    if metric in _BYTES:
        return f"{value / _GIB:+.2f} GiB"
    return _small_in_words(value, metric, sign="+")


def _small_in_words(value: float, metric: Metric, *, sign: str) -> str:
    if metric is Metric.MEMORY_SLOPE_BYTES_PER_TOKEN:
        return f"{value:{sign},.0f} bytes a token"
    if metric is Metric.MEMORY_LEAK_BYTES_PER_REQUEST:
        return f"{value:{sign},.0f} bytes a request"
    if metric is Metric.TIME_PER_OUTPUT_TOKEN_S or metric is Metric.TIME_TO_FIRST_TOKEN_S:
        return f"{value:{sign}.4f} s"
    return f"{value:{sign}.2f} s"


def figure_in_words(criterion: Criterion, figure: Figure) -> str:
    """Return the figure with its 95 % interval and its count."""
    return _with_bounds(criterion, figure, name="95 % interval", count=_count(criterion, figure))


def bounds_in_words(criterion: Criterion, figure: Figure, *, unit: str = "families") -> str:
    """Return the figure with the bounds that decide at this look, its count and that of the independent units."""
    families = "" if figure.families == figure.n else f" of {figure.families} {unit}"
    return _with_bounds(criterion, figure, name="bounds", count=_count(criterion, figure) + families)


def rule_in_words(criterion: Criterion, *, holds: bool) -> str:
    """Return how a figure stands to the criterion's bound."""
    match criterion.rule:
        case Rule.AT_LEAST:
            bound = quantity_in_words(criterion.bound, criterion.metric)
            return f"at least the floor of {bound}" if holds else f"below the floor of {bound}"
        case Rule.AT_MOST:
            bound = quantity_in_words(criterion.bound, criterion.metric)
            return f"at most the ceiling of {bound}" if holds else f"above the ceiling of {bound}"
        case Rule.NO_WORSE_THAN:
            margin = _amount(criterion.bound, criterion).lstrip("+-")
            return f"{'within' if holds else 'worse than the incumbent by more than'} the margin of {margin}"


def needs_in_words(criterion: Criterion, *, more: int | None, unit: str, more_families: int) -> str:
    """Return what would settle a criterion that the bounds leave open."""
    if more_families:
        loss = _amount(criterion.bound, criterion).lstrip("+-")
        undecided = f"a loss of {loss} may lie in families that no case is of: {more_families} further ones are needed"
    else:
        undecided = "the bounds lie on both sides of what is demanded"
    if more is None:
        return f"{undecided}, and more {unit} would hardly help: the figure itself does not meet it"
    return f"{undecided}; about {_two_digits(more):,} more {unit} would settle it"


def harm_in_words(harm: Harm) -> str:
    """Return what was shown against the candidate, and where."""
    place = "" if harm.category is None else f" in category {harm.category}"
    return f"shown to be worse{place}: such a run has odds of less than 1 in {harm.evidence:,.0f} otherwise"


def _two_digits(count: int) -> int:
    """Return the count rounded up to two digits: an estimate has no more."""
    step = 10 ** max(len(str(count)) - 2, 0)
    return -(-count // step) * step


def _with_bounds(criterion: Criterion, figure: Figure, *, name: str, count: str) -> str:
    words = _amount(figure.value or 0.0, criterion)
    if criterion.statistic.percentile is not None:
        words = f"{criterion.statistic} of {words}"
    if not criterion.metric.per_trial:
        return words
    low, high = figure.low, figure.high
    if math.isfinite(low) and math.isfinite(high):
        return f"{words} ({name} {_amount(low, criterion)} to {_amount(high, criterion)}, {count})"
    return f"{words} ({count})"


def _amount(value: float, criterion: Criterion) -> str:
    if criterion.statistic is Statistic.RATIO:
        return f"{100 * value:+.1f} %"
    if criterion.rule is Rule.NO_WORSE_THAN:
        return signed_in_words(value, criterion.metric)
    return quantity_in_words(value, criterion.metric)


def _count(criterion: Criterion, figure: Figure) -> str:
    return f"{figure.n} {'pairs' if criterion.rule is Rule.NO_WORSE_THAN else 'trials'}"
