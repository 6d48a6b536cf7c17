"""The figure that a criterion is applied to, and the bounds on either side of it, with families as the units."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from canary.judge.comparisons import of_system
from canary.judge.evidence import Evidence
from canary.judge.figure import NOTHING, Figure
from canary.judge.latency import latency_figure
from canary.judge.paired import effective_count, family_mean, grouped, wilson_low
from canary.judge.statistics import Interval, mean, quantile_ranks, student_quantile, tango_interval
from gateway.contracts.evaluations import Criterion, Rule, Statistic

_UNBOUNDED = Interval(-math.inf, math.inf)


def figure_of(criterion: Criterion, candidate: Evidence, incumbent: Evidence, *, z: float) -> Figure:
    """Return the criterion's figure with one-sided bounds that lie `z` standard errors, or what is like them, away."""
    metric = criterion.metric
    if not metric.per_trial:
        return _of_systems(criterion, candidate, incumbent)
    if candidate.blocks is not None and metric.is_time:
        case_ids = candidate.timed_cases(criterion.category, criterion.tag)
        return latency_figure(criterion, candidate.blocks, incumbent.blocks or (), case_ids=case_ids, z=z)
    ours = candidate.values(metric, criterion.category, criterion.tag)
    if criterion.rule is Rule.NO_WORSE_THAN:
        theirs = incumbent.values(metric, criterion.category, criterion.tag)
        shared = [case_id for case_id in ours if case_id in theirs]
        if criterion.statistic is Statistic.RATIO:
            shared = [case_id for case_id in shared if ours[case_id] > 0 and theirs[case_id] > 0]
            logs = [math.log(ours[case_id] / theirs[case_id]) for case_id in shared]
            return _ratio(logs, [candidate.families[case_id] for case_id in shared], z)
        differences = [ours[case_id] - theirs[case_id] for case_id in shared]
        units = [candidate.families[case_id] for case_id in shared]
        return _difference(differences, units, z, of_grades=metric.higher_is_better)
    return _level(criterion, ours, candidate.families, z)


def _level(criterion: Criterion, values: Mapping[str, float], families: Mapping[str, str], z: float) -> Figure:
    if not values:
        return NOTHING
    found, unit_of = list(values.values()), [families[case_id] for case_id in values]
    units = len(set(unit_of))
    share = criterion.statistic.percentile
    if share is not None:
        ordered = sorted(found)
        low, high = quantile_ranks(share, len(found), z)
        return Figure(
            n=len(found),
            families=units,
            value=ordered[math.ceil(share * len(found)) - 1],
            low=-math.inf if low is None else ordered[low - 1],
            high=math.inf if high is None else ordered[high - 1],
        )
    low, high = _mean_bounds(found, unit_of, z, in_unit_range=criterion.metric.higher_is_better)
    value = mean(found)
    if criterion.statistic is Statistic.LOWER_BOUND:
        value = low
    elif criterion.statistic is Statistic.UPPER_BOUND:
        value = high
    return Figure(len(found), units, value if math.isfinite(value) else None, low, high)


def _mean_bounds(values: Sequence[float], families: Sequence[str], z: float, *, in_unit_range: bool) -> Interval:
    units = len(set(families))
    if units < 2:  # noqa: PLR2004 - one family has no spread
        return _UNBOUNDED
    array, quantile = np.asarray(values), student_quantile(z, units - 1)
    value, error = family_mean(array, grouped(families))
    if not in_unit_range:
        return Interval(max(float(value - quantile * error), 0.0), float(value + quantile * error))
    # Of a case that is 0 or 1: the most that a grade with this mean can vary.
    variance = value * (1 - value) * len(values) / (len(values) - 1)
    count = effective_count(variance, error, n=len(values), families=units)
    return Interval(float(wilson_low(value, count, quantile)), 1 - float(wilson_low(1 - value, count, quantile)))


def _difference(differences: Sequence[float], families: Sequence[str], z: float, *, of_grades: bool) -> Figure:
    """Bound a difference by Student's interval over families and, for grades, by Tango's: on each side by the farther.

    Tango's is of the effective number of pairs. It knows how much 0 and 1 vary while hardly any pair differs, and how
    lopsided the figure of a few broken families is, which Student's takes for precise. A grade in between counts in its
    part, which errs on the safe side: it varies less than 0 and 1 with the same mean do.
    """
    if not differences:
        return NOTHING
    units = len(set(families))
    low, high = _UNBOUNDED
    if units > 1:
        array, n = np.asarray(differences), len(differences)
        value, error = family_mean(array, grouped(families))
        reach = student_quantile(z, units - 1) * float(error)
        low, high = float(value) - reach, float(value) + reach
        if of_grades:
            share = float(effective_count(array.var(ddof=1), error, n=n, families=units)) / n
            gained, lost = math.fsum(np.maximum(array, 0.0)), math.fsum(np.maximum(-array, 0.0))
            score = tango_interval(gained * share, lost * share, n * share, z=z)
            low, high = max(min(low, score.low), -1.0), min(max(high, score.high), 1.0)
    return Figure(len(differences), units, mean(differences), low, high)


def _ratio(logs: Sequence[float], families: Sequence[str], z: float) -> Figure:
    """Return the geometric mean of the ratios less 1: the part by which the candidate's figure is the larger."""
    if not logs:
        return NOTHING
    found = _difference(logs, families, z, of_grades=False)
    bounds = (math.expm1(found.low) if math.isfinite(found.low) else -1.0, math.expm1(min(found.high, 700.0)))
    return Figure(found.n, found.families, math.expm1(mean(logs)), *bounds)


def _of_systems(criterion: Criterion, candidate: Evidence, incumbent: Evidence) -> Figure:
    """Return what was measured once of each engine: a figure without a spread."""
    ours, theirs = of_system(candidate, criterion.metric), of_system(incumbent, criterion.metric)
    value = ours
    if criterion.rule is Rule.NO_WORSE_THAN:
        if ours is None or theirs is None:
            return NOTHING
        if criterion.statistic is Statistic.RATIO and theirs == 0:
            return NOTHING
        value = ours / theirs - 1 if criterion.statistic is Statistic.RATIO else ours - theirs
    return NOTHING if value is None else Figure(1, 1, value, value, value)
