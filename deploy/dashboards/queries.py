"""PromQL that several panels are made of. Each takes what the variables of a dashboard leave in."""

from deploy.dashboards.panels import Query

INSTANCE = 'instance=~"$instance"'
MODEL = f'{INSTANCE}, model=~"$model"'
SERVED = f'{MODEL}, class!="evaluation"'
"""What clients get: trials of an evaluation are no part of it, the incumbent's no more than a candidate's."""
_PERCENTILES = (50, 95, 99)
_OUTCOMES = ("passed", "inconclusive", "errored", "failed")


def rate(counter: str, selector: str, *by: str) -> str:
    """Return how much a counter grows in a second."""
    return f"sum by ({', '.join(by)}) (rate({counter}{{{selector}}}[$__rate_interval]))"


def growth(counter: str, selector: str) -> str:
    """Return how much a counter grew in the time that the dashboard shows.

    `increase` extrapolates, and what is rare is to be counted in whole numbers.
    """
    now = f"sum({counter}{{{selector}}})"
    before = f"(sum({counter}{{{selector}}} offset $__range) or vector(0))"
    return f"clamp_min({now} - {before}, 0)"


def quantile(share: float, histogram: str, selector: str, *by: str) -> str:
    buckets = rate(f"{histogram}_bucket", selector, "le", *by)
    return f"histogram_quantile({share:g}, {buckets})"


def percentiles(histogram: str, selector: str, *, exemplars: bool = False) -> tuple[Query, ...]:
    """Return the median and the two tails, with the requests that exemplars name where there are any."""
    return tuple(
        Query(
            quantile(percent / 100, histogram, selector),
            f"p{percent}",
            exemplars=exemplars and percent == max(_PERCENTILES),
        )
        for percent in _PERCENTILES
    )


def outcome(gauge: str, *by: str) -> str:
    """Return the outcome that is 1 as a number: 1 for the best, 4 for the worst."""
    severities = (
        f'({gauge}{{{MODEL}, outcome="{outcome}"}} == 1) * {severity}'
        for severity, outcome in enumerate(_OUTCOMES, start=1)
    )
    return f"max by ({', '.join(by)}) ({' or '.join(severities)})"
