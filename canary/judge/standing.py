"""How accuracy stands while the trials run: for whoever watches. No verdict reads it."""

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from canary.judge.comparisons import compare
from canary.judge.evidence import Evidence, collect_evidence
from canary.judge.order import case_order, family_of
from canary.judge.paired import least_families
from canary.judge.profiles import PLANS, UNSEEN_CHANCE
from gateway.contracts.evaluations import Criterion, Evaluation, Metric, Rule, Statistic


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Of one candidate against the incumbent, over the cases that both have a grade of."""

    pairs: int
    planned: int
    """Cases that are read at most."""
    difference: float
    low: float
    """The 95 % interval if one looked only now, cases counted as independent. The rule that decides is wider."""
    high: float
    expected_stop: int
    """Cases after which success would be concluded if all went on as so far; the planned ones where it would not."""


class _Demand(msgspec.Struct, frozen=True):
    """A mean must be shown to lie above a bound."""

    mean: float
    variance: float
    bound: float
    families: int
    """As many must have been read."""


def standings(evaluation: Evaluation) -> tuple[Standing | None, ...]:
    """Return how each candidate stands in a run that goes on; None before it has a pair.

    Raises InconsistentRecord where the record contradicts itself.
    """
    incumbent, *candidates = collect_evidence(evaluation)
    families = [family_of(case) for case in case_order(evaluation.cases, evaluation.seed)]
    return tuple(_standing(evaluation, candidate, incumbent, families) for candidate in candidates)


def _standing(
    evaluation: Evaluation, candidate: Evidence, incumbent: Evidence, families: Sequence[str]
) -> Standing | None:
    """`families` are those of the cases in their order."""
    comparison = compare(candidate, incumbent, Metric.ACCURACY)
    difference, low, high = comparison.difference, comparison.difference_low, comparison.difference_high
    if difference is None or low is None or high is None:
        return None
    plan = PLANS.get(evaluation.profile)
    return Standing(
        pairs=comparison.pairs,
        planned=len(evaluation.cases) if plan is None else plan.planned(len(evaluation.cases)),
        difference=difference,
        low=low,
        high=high,
        expected_stop=_expected_stop(evaluation, candidate, incumbent, families),
    )


def _expected_stop(evaluation: Evaluation, candidate: Evidence, incumbent: Evidence, families: Sequence[str]) -> int:
    """Return the first look at which every required criterion of accuracy overall would hold. An approximation."""
    plan = PLANS.get(evaluation.profile)
    if plan is None:
        return len(evaluation.cases)
    demands = [
        demand
        for criterion in evaluation.criteria
        if criterion.required
        for demand in _demands(criterion, candidate, incumbent)
    ]
    looks = plan.looks(len(evaluation.cases))
    read_count = len(candidate.trials)
    for look, z in zip(looks, plan.boundaries, strict=True):
        met = len(set(families[:look]))
        if look >= read_count and demands and all(_would_hold(demand, look, z, met) for demand in demands):
            return look
    return looks[-1]


def _demands(criterion: Criterion, candidate: Evidence, incumbent: Evidence) -> Iterator[_Demand]:
    if criterion.metric is not Metric.ACCURACY or criterion.statistic is not Statistic.MEAN:
        return
    ours, theirs = (each.values(Metric.ACCURACY, criterion.category, criterion.tag) for each in (candidate, incumbent))
    if criterion.rule is Rule.NO_WORSE_THAN:
        differences = [value - theirs[case_id] for case_id, value in ours.items() if case_id in theirs]
        yield _demand(differences, -criterion.bound, families=least_families(criterion.bound, UNSEEN_CHANCE))
    elif criterion.rule is Rule.AT_LEAST:
        yield _demand(list(ours.values()), criterion.bound, families=0)


def _demand(values: Sequence[float], bound: float, *, families: int) -> _Demand:
    """The variance is at least what it is where the bound is just met: a beginning without a fault is no certainty."""
    if not values:
        return _Demand(0.0, math.inf, bound, families)
    at_bound = abs(bound) * (1 - abs(bound))
    return _Demand(float(np.mean(values)), max(float(np.var(values)), at_bound), bound, families)


def _would_hold(demand: _Demand, cases: int, z: float, families: int) -> bool:
    return families >= demand.families and demand.mean - z * math.sqrt(demand.variance / cases) >= demand.bound
