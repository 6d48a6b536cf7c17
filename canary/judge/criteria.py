"""Apply one Criterion to what was measured: to the figure itself under profile `seed`, else to its bounds."""

import math

from canary.judge.comparisons import compare
from canary.judge.evidence import Evidence
from canary.judge.figure import Figure
from canary.judge.figures import figure_of
from canary.judge.harm import Harm
from canary.judge.latency import latency_doubts
from canary.judge.paired import least_families
from canary.judge.profiles import UNSEEN_CHANCE
from canary.judge.reasons import bounds_in_words, figure_in_words, harm_in_words, needs_in_words, rule_in_words
from canary.judge.statistics import Z_95, least_count, root_between
from gateway.contracts.evaluations import Criterion, CriterionResult, Metric, Outcome, Rule, Statistic

LOST_LIMIT_RATIO = 0.02
"""Above this share of a system's trials without a result, nothing is concluded from the rest."""
_NEXT_TO_NONE = 1e-6
"""Standard errors, in whose place there are none."""
_Z_80 = 0.8416212335729143
"""Of the chance, four in five, with which a number of further cases is said to settle a criterion."""


def is_decisive(criterion: Criterion, candidate: Evidence) -> bool:
    """Return whether the criterion counts towards the verdict.

    Times and memory that were measured with dequantised weights are not the product's.
    """
    return criterion.required and not (candidate.system.dequantised and _is_of_the_form(criterion.metric))


def _is_of_the_form(metric: Metric) -> bool:
    """Whether the metric is another one in another form of the weights."""
    loads = {Metric.LOAD_TIME_COLD_S, Metric.LOAD_TIME_WARM_S}
    return metric.is_time or (metric.of_memory_phase and metric not in loads)


def apply_to_figure(
    criterion: Criterion, candidate: Evidence, incumbent: Evidence, *, min_pairs: int
) -> CriterionResult:
    """Return the outcome of the point estimate, with the figure it rests on and the reason in words.

    A per-trial criterion is errored where too many trials have no result, and inconclusive on fewer than `min_pairs`
    trials (of the candidate for a level, pairs for a comparison).
    """
    figure = _plain_figure(criterion, candidate, incumbent)
    measured = figure_in_words(criterion, figure)
    conclusion = _hindrance(criterion, figure, candidate, incumbent, min_pairs=min_pairs, measured=measured)
    if conclusion is None:
        holds = _holds(criterion, figure.value or 0.0)
        outcome = Outcome.PASSED if holds else Outcome.FAILED
        conclusion = outcome, f"{measured}: {rule_in_words(criterion, holds=holds)}"
    return _result(criterion, figure, conclusion, candidate)


def apply_to_bounds(
    criterion: Criterion, candidate: Evidence, incumbent: Evidence, *, z: float, min_pairs: int, harm: Harm | None
) -> CriterionResult:
    """Return the outcome by the bounds that lie `z` standard errors away: passed or failed only where both agree.

    `harm` is the evidence that ends a run at any case. It fails the criterion, whatever else hinders a decision.
    """
    apart = _is_timed_apart(criterion, candidate)
    z = candidate.times_z if apart else z
    figure = figure_of(criterion, candidate, incumbent, z=z)
    measured = bounds_in_words(criterion, figure, unit="cycles" if apart else "families")
    if harm is not None:
        conclusion = Outcome.FAILED, f"{measured}: {harm_in_words(harm)}"
        return _result(criterion, figure, conclusion, candidate, families=figure.families)
    conclusion = _hindrance(
        criterion, figure, candidate, incumbent, min_pairs=min_pairs, measured=measured
    ) or _ungraded_alone(criterion, candidate, incumbent)
    more_cases = None
    if conclusion is None:
        outcome = _outcome_of_bounds(criterion, figure)
        missing_families = max(_least_families(criterion) - figure.families, 0)
        if outcome is Outcome.PASSED and missing_families:
            outcome = Outcome.INCONCLUSIVE
        if outcome is Outcome.INCONCLUSIVE:
            more = _more_units(criterion, figure, candidate, incumbent, z=z)
            more_cases = None if apart else more
            unit = "cycles" if apart and criterion.statistic.percentile is None else "cases"
            rule = needs_in_words(criterion, more=more, unit=unit, more_families=missing_families)
        else:
            rule = rule_in_words(criterion, holds=outcome is Outcome.PASSED)
        conclusion = outcome, f"{measured}: {rule}"
    return _result(criterion, figure, conclusion, candidate, families=figure.families, more_cases=more_cases)


def _plain_figure(criterion: Criterion, candidate: Evidence, incumbent: Evidence) -> Figure:
    """Return the mean with its 95 % interval, cases counted as independent; of other statistics the figure's own."""
    if criterion.statistic is not Statistic.MEAN or _is_timed_apart(criterion, candidate):
        return figure_of(criterion, candidate, incumbent, z=Z_95)
    comparison = compare(candidate, incumbent, criterion.metric, criterion.category, criterion.tag)
    if criterion.rule is Rule.NO_WORSE_THAN:
        n, value = comparison.pairs, comparison.difference
        low, high = comparison.difference_low, comparison.difference_high
    else:
        level = comparison.candidate
        n, value, low, high = level.n, level.value, level.low, level.high
    return Figure(n, n, value, -math.inf if low is None else low, math.inf if high is None else high)


def _hindrance(
    criterion: Criterion, figure: Figure, candidate: Evidence, incumbent: Evidence, *, min_pairs: int, measured: str
) -> tuple[Outcome, str] | None:
    """Return what keeps this criterion from being decided, if anything does; `measured` is the figure in words."""
    hindrance = None
    if _is_timed_apart(criterion, candidate):
        hindrance = _timing_hindrance(criterion, candidate, incumbent, measured=measured)
    elif criterion.metric.of_memory_phase:
        hindrance = _memory_hindrance(figure, candidate)
    elif criterion.metric.per_trial:
        hindrance = _trial_hindrance(criterion, candidate, incumbent)
    if hindrance is not None:
        return hindrance
    if figure.value is None:
        return Outcome.INCONCLUSIVE, "nothing was measured"
    if criterion.metric.per_trial and figure.n < min_pairs:
        return Outcome.INCONCLUSIVE, f"{measured}: fewer than the {min_pairs} that a decision needs"
    return None


def _compared(criterion: Criterion, candidate: Evidence, incumbent: Evidence) -> tuple[Evidence, ...]:
    """Return those of whose results the criterion speaks."""
    return (candidate, incumbent) if criterion.rule is Rule.NO_WORSE_THAN else (candidate,)


def _trial_hindrance(criterion: Criterion, candidate: Evidence, incumbent: Evidence) -> tuple[Outcome, str] | None:
    for evidence in _compared(criterion, candidate, incumbent):
        if evidence.lost_ratio > LOST_LIMIT_RATIO:
            codes = ", ".join(evidence.lost_codes) or "not in the record"
            return Outcome.ERRORED, (
                f"{evidence.lost_count} of {len(evidence.categories)} trials of the {evidence.system.role} have no "
                f"result ({codes}), above {100 * LOST_LIMIT_RATIO:.0f} %"
            )
    return None


def _memory_hindrance(figure: Figure, candidate: Evidence) -> tuple[Outcome, str] | None:
    memory = candidate.memory
    if memory is None or memory.problem is None:
        return None
    if memory.candidate_failed:
        return Outcome.FAILED, f"the candidate failed while its memory was read ({memory.problem})"
    if figure.value is None:
        return Outcome.INCONCLUSIVE, f"nothing was measured, because the readings ended early ({memory.problem})"
    return None


def _is_timed_apart(criterion: Criterion, candidate: Evidence) -> bool:
    return criterion.metric.per_trial and not candidate.over_trials(criterion.metric)


def _timing_hindrance(
    criterion: Criterion, candidate: Evidence, incumbent: Evidence, *, measured: str
) -> tuple[Outcome, str] | None:
    """Return what keeps times that were measured apart from saying anything, or that the candidate failed at them."""
    ours, theirs = candidate.blocks or (), incumbent.blocks or ()
    concurrency = criterion.concurrency or 1
    compared = _compared(criterion, candidate, incumbent)
    alone = [each.system.role for each in compared if each.system.variant.engine.one_at_a_time]
    if alone and concurrency > 1:
        return Outcome.INCONCLUSIVE, (
            f"the engine of the {' and of the '.join(alone)} serves one request at a time (`kv_bits`, `draft`), so "
            f"that nothing is timed at {concurrency}: declare it without, or make this criterion advisory"
        )
    failed = [code for block in ours if block.concurrency == concurrency for code in block.candidate_errors]
    if failed:
        codes = ", ".join(sorted(set(failed)))
        return Outcome.FAILED, f"the candidate brought down {len(failed)} of its timed requests ({codes})"
    if candidate.elsewhere:
        return Outcome.INCONCLUSIVE, "timed on another machine than the record names, and times hold for one machine"
    blocks = [block for each in compared for block in each.blocks or () if block.concurrency == concurrency]
    lost = [code for block in blocks for code in (*block.candidate_errors, *block.infrastructure_errors)]
    asked = len(lost) + sum(len(block.answers) for block in blocks)
    if len(lost) > LOST_LIMIT_RATIO * asked:
        codes = ", ".join(sorted(set(lost)))
        return Outcome.ERRORED, (
            f"{len(lost)} of {asked} timed requests have no result ({codes}), above {100 * LOST_LIMIT_RATIO:.0f} %"
        )
    case_ids = candidate.timed_cases(criterion.category, criterion.tag)
    doubts = "; ".join(latency_doubts(criterion, ours, theirs, case_ids=case_ids))
    return (Outcome.INCONCLUSIVE, f"{measured}, of which nothing follows: {doubts}") if doubts else None


def _ungraded_alone(criterion: Criterion, candidate: Evidence, incumbent: Evidence) -> tuple[Outcome, str] | None:
    """Return that nothing is concluded where too many answers of the candidate alone have no grade.

    Such a pair is left out, and a candidate must not gain by answers that no grader can read.
    """
    if criterion.rule is not Rule.NO_WORSE_THAN or not criterion.metric.higher_is_better:
        return None
    ours, theirs = (each.values(criterion.metric, criterion.category, criterion.tag) for each in (candidate, incumbent))
    count = sum(candidate.has_result(case_id) for case_id in theirs if case_id not in ours)
    if count <= LOST_LIMIT_RATIO * len(candidate.categories):
        return None
    return Outcome.INCONCLUSIVE, (
        f"{count} answers of the candidate are ungraded where the incumbent's are graded, above "
        f"{100 * LOST_LIMIT_RATIO:.0f} % of the cases"
    )


def _holds(criterion: Criterion, value: float) -> bool:
    match criterion.rule:
        case Rule.AT_LEAST:
            return value >= criterion.bound
        case Rule.AT_MOST:
            return value <= criterion.bound
        case Rule.NO_WORSE_THAN:
            return value >= -criterion.bound if criterion.metric.higher_is_better else value <= criterion.bound


def _outcome_of_bounds(criterion: Criterion, figure: Figure) -> Outcome:
    """Return what both bounds say of the rule.

    A margin of grades is missed where the candidate is shown to be worse at all, and is worse by the margin as
    measured. To show that it is worse by the margin takes several times as many cases.
    """
    low, high, bound = figure.low, figure.high, criterion.bound
    if criterion.statistic in {Statistic.LOWER_BOUND, Statistic.UPPER_BOUND}:
        low = high = figure.value or 0.0
    if criterion.rule is Rule.NO_WORSE_THAN and criterion.metric.higher_is_better:
        holds, misses = low >= -bound, high < 0 and (figure.value or 0.0) <= -bound
    elif criterion.rule is Rule.AT_LEAST:
        holds, misses = low >= bound, high < bound
    else:
        holds, misses = high <= bound, low > bound
    return Outcome.PASSED if holds else Outcome.FAILED if misses else Outcome.INCONCLUSIVE


def _least_families(criterion: Criterion) -> int:
    of_grades = criterion.rule is Rule.NO_WORSE_THAN and criterion.metric.higher_is_better
    return least_families(criterion.bound, UNSEEN_CHANCE) if of_grades else 0


def _more_units(
    criterion: Criterion, figure: Figure, candidate: Evidence, incumbent: Evidence, *, z: float
) -> int | None:
    """Return how many further cases would let the criterion pass four times in five, if the figure stays what it is.

    Of times that were measured apart it counts cycles. The number of standard errors at which the bound is met grows
    with the root of the number of either. None where the figure itself does not meet the bound.
    """
    share = criterion.statistic.percentile
    if share is not None:
        return max(least_count(share, z) - figure.n, 1) if math.isinf(figure.high) else None

    def room(errors: float) -> float:
        return _room(criterion, figure_of(criterion, candidate, incumbent, z=errors))

    if figure.families < 2 or room(_NEXT_TO_NONE) <= 0:  # noqa: PLR2004 - one family has no spread
        return None
    met_at = root_between(room, _NEXT_TO_NONE, z) if room(z) < 0 else z
    units = figure.families if _is_timed_apart(criterion, candidate) else figure.n
    return max(math.ceil(units * ((z + _Z_80) / met_at) ** 2) - units, 1)


def _room(criterion: Criterion, figure: Figure) -> float:
    """Return how far the bound that must hold lies on the right side of what is demanded."""
    if criterion.rule is Rule.AT_LEAST:
        return figure.low - criterion.bound
    if criterion.rule is Rule.NO_WORSE_THAN and criterion.metric.higher_is_better:
        return figure.low + criterion.bound
    return criterion.bound - figure.high


def _result(
    criterion: Criterion,
    figure: Figure,
    conclusion: tuple[Outcome, str],
    candidate: Evidence,
    *,
    families: int | None = None,
    more_cases: int | None = None,
) -> CriterionResult:
    outcome, reason = conclusion
    bounded = criterion.metric.per_trial and figure.value is not None
    return CriterionResult(
        criterion=criterion,
        outcome=outcome,
        required=is_decisive(criterion, candidate),
        n=figure.n,
        observed=figure.value,
        low=figure.low if bounded and math.isfinite(figure.low) else None,
        high=figure.high if bounded and math.isfinite(figure.high) else None,
        families=families if criterion.metric.per_trial else None,
        more_cases=more_cases,
        reason="; ".join((reason, *_remarks(criterion, candidate))),
    )


def _remarks(criterion: Criterion, candidate: Evidence) -> list[str]:
    """Return what a reader must know beside the figure."""
    remarks: list[str] = []
    if candidate.system.dequantised and criterion.metric.is_time:
        remarks.append("advisory, not comparable: dequantised")
    if candidate.system.dequantised and not criterion.metric.is_time and _is_of_the_form(criterion.metric):
        remarks.append("advisory, not the product's: dequantised")
    if candidate.memory is not None and criterion.metric.of_memory_phase and candidate.memory.production_requests:
        remarks.append(f"production requests that ran meanwhile: {candidate.memory.production_requests}")
    if candidate.system.dequantised and criterion.metric is Metric.MEMORY_BYTES:
        remarks.append("predicted for the weights as stored, because the engine is dequantised")
    if criterion.metric is Metric.ACCURACY or criterion.metric is Metric.FIELD_ACCESS:
        if candidate.candidate_error_count:
            remarks.append(f"errors of the candidate scored 0: {candidate.candidate_error_count}")
        if candidate.ungraded_count:
            remarks.append(f"left out as ungraded: {candidate.ungraded_count}")
    if candidate.over_trials(criterion.metric) and candidate.lost_count:
        remarks.append(f"left out for want of a result: {candidate.lost_count}")
    return remarks
