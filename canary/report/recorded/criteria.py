"""Apply a recorded run's criteria to its published figures, and choose what they recommend."""

from decimal import Decimal

import msgspec

from canary.report.recorded.run import RecordedRun, RecordedSystem
from gateway.contracts.evaluations import Criterion, Rule


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a published figure stands to a criterion."""

    met: bool | None
    """None where the figure was not published."""
    margin: Decimal | None
    """Distance to the bound in the metric's unit, positive on the good side."""


def standing(criterion: Criterion, system: RecordedSystem) -> Standing:
    observed = system.observed(criterion.metric)
    if observed is None:
        return Standing(met=None, margin=None)
    # Through its digits: 0.8 as a binary fraction is a little more than four fifths.
    bound = Decimal(str(criterion.bound))
    margin = observed - bound if criterion.rule is Rule.AT_LEAST else bound - observed
    return Standing(met=margin >= 0, margin=margin)


def meets_floors(run: RecordedRun, system: RecordedSystem) -> bool:
    """Return whether the system meets every floor of accuracy and field access."""
    return all(standing(criterion, system).met for criterion in run.criteria if criterion.metric.higher_is_better)


def recommended(run: RecordedRun) -> RecordedSystem | None:
    """Return, of those that meet every criterion, the smallest in memory; then the more accurate; then the first."""
    passed = [
        system
        for system in run.systems
        if all(standing(criterion, system).met for criterion in run.criteria if criterion.required)
    ]
    return min(passed, key=_preference, default=None)


def alternatives(run: RecordedRun, chosen: RecordedSystem) -> tuple[RecordedSystem, ...]:
    """Return the other builds of the chosen system's model: what a deployment of it makes superfluous."""
    return tuple(system for system in run.systems if system.model == chosen.model and system is not chosen)


def _preference(system: RecordedSystem) -> tuple[Decimal, float]:
    accuracy = system.validation.accuracy
    return system.speed.memory_gib or Decimal("Infinity"), 0.0 if accuracy is None else -accuracy.ratio
