"""Find criteria that no candidate, or every candidate, meets, before a model is asked."""

import math

from canary.judge.latency import ONCE_Z
from canary.judge.paired import least_families, tango_score, wilson_low
from canary.judge.profiles import PLANS, UNSEEN_CHANCE
from canary.judge.statistics import least_count
from gateway.contracts.evaluations import Criterion, Metric, Profile, Rule, Statistic
from gateway.contracts.suites import LatencyProtocol

_MAY_BE_NONE = frozenset({Metric.SWAP_GROWTH_BYTES, Metric.MEMORY_LEAK_BYTES_PER_REQUEST})
"""Of which 0 is what one wants."""


def complaint_about(criterion: Criterion) -> str | None:
    """Return why a criterion means nothing, or the same for every candidate; None where it is sound."""
    if not math.isfinite(criterion.bound):
        return f"the bound {criterion.bound} is no number"
    return _about_subject(criterion) or _about_statistic(criterion) or _about_bound(criterion)


def size_complaint_about(criterion: Criterion, profile: Profile, *, cases: int, families: int) -> str | None:
    """Return why not even a candidate that makes no mistake passes on so many cases, of those that it is about.

    None where it can pass, and under profile `seed`, which asks for no evidence.
    """
    if profile == "seed" or not criterion.metric.per_trial:
        return None
    plan = PLANS[profile]
    cases = plan.planned(cases)
    families, z = min(families, cases), plan.boundaries[-1]
    share = criterion.statistic.percentile
    if share is not None:
        needed = least_count(share, z)
        return (
            None if cases >= needed else f"{criterion.statistic} cannot be bounded by {cases} cases: it takes {needed}"
        )
    if not criterion.metric.higher_is_better or criterion.statistic is not Statistic.MEAN:
        return None
    if criterion.rule is Rule.AT_LEAST:
        reached = float(wilson_low(1.0, families, z))
        if reached < criterion.bound:
            return (
                f"with all of {families} families right, at least {reached:.1%} is established: the floor of "
                f"{criterion.bound:.1%} takes {_families_for_floor(criterion.bound, z)}"
            )
    # A margin of 0 asks for a candidate that is better, which some number of gained cases shows.
    if criterion.rule is Rule.NO_WORSE_THAN and criterion.bound > 0:
        needed = _families_for_margin(criterion.bound, z)
        if families < needed:
            return (
                f"with no difference on any of {families} families, a loss of {100 * criterion.bound:.1f} points is "
                f"not excluded: that takes {needed}"
            )
    return None


def timing_complaint_about(criterion: Criterion, timing: LatencyProtocol, *, cases: int, min_pairs: int) -> str | None:
    """Return why times that are measured so leave a criterion undecided whatever a candidate does, if they do."""
    concurrency = criterion.concurrency or 1
    if concurrency not in timing.levels:
        return f"nothing is timed at {concurrency} requests: `protocol.latency.concurrency` is {timing.concurrency}"
    of_cycle = max(timing.prompts_per_cycle, concurrency)
    prompts = min(cases, timing.cycles * of_cycle)
    share = criterion.statistic.percentile
    if share is not None:
        needed = least_count(share, ONCE_Z)
        if prompts < needed:
            return (
                f"{criterion.statistic} cannot be bounded by {prompts} prompts: it takes {needed}, as cases and as "
                "`cycles` times `prompts_per_cycle`"
            )
    elif prompts < 2:  # noqa: PLR2004 - one prompt has no spread
        return "one prompt alone has no spread"
    # At least two of each prompt, forth and back, of which a pair makes one.
    if timing.cycles * min(of_cycle, cases) < min_pairs:
        return f"{timing.cycles} cycles of {min(of_cycle, cases)} prompts are fewer pairs than `min_pairs`, {min_pairs}"
    return None


def _about_subject(criterion: Criterion) -> str | None:
    metric = criterion.metric
    if criterion.concurrency is not None and not metric.is_time:
        return f"{metric} has no concurrency: times have"
    if criterion.concurrency is not None and criterion.concurrency < 1:
        return f"a concurrency of {criterion.concurrency} is no number of requests"
    if criterion.rule is Rule.NO_WORSE_THAN and metric in {Metric.LOAD_TIME_COLD_S, Metric.LOAD_TIME_WARM_S}:
        return f"{metric} has no incumbent to compare with: it serves, and is not loaded anew"
    return None


def _about_statistic(criterion: Criterion) -> str | None:
    statistic, metric = criterion.statistic, criterion.metric
    if statistic is Statistic.RATIO and criterion.rule is not Rule.NO_WORSE_THAN:
        return "a ratio is of two systems: its rule is no_worse_than"
    if statistic is Statistic.RATIO and metric.higher_is_better:
        return f"{metric} can be 0, so that its ratio is none: a margin in points is compared by the mean"
    if criterion.rule is Rule.NO_WORSE_THAN and statistic not in {Statistic.MEAN, Statistic.RATIO}:
        return f"no_worse_than compares a mean or a ratio, and not {statistic}"
    if not metric.per_trial and statistic not in {Statistic.MEAN, Statistic.RATIO}:
        return f"{metric} is measured once of each engine, so that it has no {statistic}"
    if metric.higher_is_better and statistic.percentile is not None:
        return f"{statistic} of {metric} is 0 or 1 where each case is right or wrong: use the mean"
    return None


def _about_bound(criterion: Criterion) -> str | None:
    metric, bound = criterion.metric, criterion.bound
    if criterion.rule is Rule.NO_WORSE_THAN:
        return _about_margin(criterion)
    if metric.higher_is_better and not 0 <= bound <= 1:
        return f"the bound {bound:g} lies outside the range of {metric}, 0 to 1"
    if metric in _MAY_BE_NONE:
        return None if bound >= 0 else f"the bound {bound:g} lies outside the range of {metric}, which starts at 0"
    if not metric.higher_is_better and bound <= 0:
        return f"the bound {bound:g} lies outside the range of {metric}, which is above 0"
    if metric.higher_is_better and (criterion.rule, bound) in {(Rule.AT_LEAST, 0), (Rule.AT_MOST, 1)}:
        return f"every candidate has {metric} {criterion.rule} {bound:g}"
    return None


def _about_margin(criterion: Criterion) -> str | None:
    metric, margin = criterion.metric, criterion.bound
    if margin < 0:
        return f"a margin cannot be negative: {margin:g} would demand a candidate that is better"
    if metric.higher_is_better and margin >= 1:
        return f"a margin of {margin:g} excludes nothing: {metric} lies between 0 and 1"
    return None


def _families_for_floor(bound: float, z: float) -> str:
    """Wilson's lower end of n right answers of n is n / (n + z^2)."""
    if bound >= 1:
        return "more than there can be"
    return f"{math.ceil(bound * z * z / (1 - bound))}"


def _families_for_margin(margin: float, z: float) -> int:
    # The score of n pairs without a difference grows with the root of n.
    by_score = math.ceil((z / float(tango_score(0, 0, 1, -margin))) ** 2)
    return max(by_score, least_families(margin, UNSEEN_CHANCE))
