"""Apply one Criterion to what was measured."""

import msgspec

from canary.judge.comparisons import compare
from canary.judge.evidence import Evidence
from canary.judge.reasons import interval_in_words, quantity_in_words, rule_in_words, signed_in_words
from gateway.contracts.evaluations import Comparison, Criterion, CriterionResult, Metric, Outcome, Rule

LOST_LIMIT_RATIO = 0.02
"""Above this share of a system's trials without a result, nothing is concluded from the rest."""


class _Observation(msgspec.Struct, frozen=True, kw_only=True):
    """The figure that the rule is applied to."""

    n: int
    value: float | None
    low: float | None
    high: float | None


def apply_criterion(
    criterion: Criterion, candidate: Evidence, incumbent: Evidence, *, min_pairs: int
) -> CriterionResult:
    """Return the outcome of one criterion, with the figure it rests on and the reason in words.

    Point estimates decide. A per-trial criterion is errored where too many trials have no result, and inconclusive on
    fewer than `min_pairs` trials (of the candidate for a level, pairs for a comparison).
    """
    observation = _observe(criterion, compare(candidate, incumbent, criterion.metric, criterion.category))
    outcome, reason = _conclude(criterion, observation, candidate, incumbent, min_pairs)
    comparable = not (criterion.metric.is_time and candidate.system.dequantised)
    remarks = _remarks(criterion, candidate)
    return CriterionResult(
        criterion=criterion,
        outcome=outcome,
        required=criterion.required and comparable,
        n=observation.n,
        observed=observation.value,
        low=observation.low,
        high=observation.high,
        reason="; ".join((reason, *remarks)),
    )


def _observe(criterion: Criterion, comparison: Comparison) -> _Observation:
    if criterion.rule is Rule.NO_WORSE_THAN:
        return _Observation(
            n=comparison.pairs,
            value=comparison.difference,
            low=comparison.difference_low,
            high=comparison.difference_high,
        )
    level = comparison.candidate
    return _Observation(n=level.n, value=level.value, low=level.low, high=level.high)


def _conclude(
    criterion: Criterion, observation: _Observation, candidate: Evidence, incumbent: Evidence, min_pairs: int
) -> tuple[Outcome, str]:
    if criterion.metric.per_trial:
        systems = (candidate, incumbent) if criterion.rule is Rule.NO_WORSE_THAN else (candidate,)
        for evidence in systems:
            if evidence.lost_ratio > LOST_LIMIT_RATIO:
                codes = ", ".join(evidence.lost_codes) or "not in the record"
                return Outcome.ERRORED, (
                    f"{evidence.lost_count} of {len(evidence.categories)} trials of the {evidence.system.role} have no "
                    f"result ({codes}), above {100 * LOST_LIMIT_RATIO:.0f} %"
                )
    value = observation.value
    if value is None:
        return Outcome.INCONCLUSIVE, "nothing was measured"
    measured = _in_words(criterion, observation, value)
    if criterion.metric.per_trial and observation.n < min_pairs:
        return Outcome.INCONCLUSIVE, f"{measured}: fewer than the {min_pairs} that a decision needs"
    holds = _holds(criterion, value)
    return (Outcome.PASSED if holds else Outcome.FAILED), f"{measured}: {rule_in_words(criterion, holds=holds)}"


def _holds(criterion: Criterion, value: float) -> bool:
    match criterion.rule:
        case Rule.AT_LEAST:
            return value >= criterion.bound
        case Rule.AT_MOST:
            return value <= criterion.bound
        case Rule.NO_WORSE_THAN:
            return value >= -criterion.bound if criterion.metric.higher_is_better else value <= criterion.bound


def _in_words(criterion: Criterion, observation: _Observation, value: float) -> str:
    compared = criterion.rule is Rule.NO_WORSE_THAN
    words = (signed_in_words if compared else quantity_in_words)(value, criterion.metric)
    if not criterion.metric.per_trial:
        return words
    of_what = "pairs" if compared else "trials"
    interval = interval_in_words(observation.low, observation.high, criterion.metric, signed=compared)
    return f"{words} ({interval}{observation.n} {of_what})"


def _remarks(criterion: Criterion, candidate: Evidence) -> list[str]:
    """Return what a reader must know beside the figure."""
    remarks: list[str] = []
    if candidate.system.dequantised and criterion.metric.is_time:
        remarks.append("advisory, not comparable: dequantised")
    if candidate.system.dequantised and criterion.metric is Metric.MEMORY_BYTES:
        remarks.append("predicted for the weights as stored, because the engine is dequantised")
    if criterion.metric is Metric.ACCURACY or criterion.metric is Metric.FIELD_ACCESS:
        if candidate.candidate_error_count:
            remarks.append(f"errors of the candidate scored 0: {candidate.candidate_error_count}")
        if candidate.ungraded_count:
            remarks.append(f"left out as ungraded: {candidate.ungraded_count}")
    if criterion.metric.per_trial and candidate.lost_count:
        remarks.append(f"left out for want of a result: {candidate.lost_count}")
    return remarks
