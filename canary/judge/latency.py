"""What timed blocks say of two systems: levels, ratios with bounds, and when nothing is said.

Times are compared within a cycle, a stretch of the run in which all systems were timed on the same prompts soon after
one another, forth and back. What drifts from cycle to cycle meets all of them.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from canary.judge.figure import NOTHING, Figure
from canary.judge.paired import family_mean, grouped
from canary.judge.statistics import mean, quantile_ranks, student_quantile
from gateway.contracts.evaluations import Criterion, Metric, Rule, Statistic
from gateway.contracts.latency import LatencyBlock, TimedAnswer

ONCE_Z = 1.7506860712521692
"""One-sided 4 %, at the last look. Times are looked at apart from the trials, whatever the looks at those. Student's
bound of so few cycles is wrong a little more often than it says: this much less keeps a slow-down at the margin below
5 %, the first look with it.
"""
FIRST_LOOK_Z = 2.807033768343811
"""One-sided 0.25 %, at the first look, which finds what needs no precision: hardly any noise, or a large difference."""
_FIRST_LOOK_PARTS = 3
_LEAST_CYCLES = 5
"""Fewer have no spread that could be relied on, and not the pairs that a decision needs."""
BATCH_LIMIT_RATIO = 1.1
"""Between the arms' mean batch sizes. A step of more rows takes longer, whatever the variant."""
UNEQUAL_LIMIT_RATIO = 0.1
"""Of the pairs, those that may be left out for unequal lengths of output."""
LEAST_BATCH_RATIO = 0.5
"""Of the requests that were kept in flight, those that must have run together: else it was not what production does."""
MAX_PRODUCTION_REQUESTS = 1
"""In a block."""

Blocks = Sequence[LatencyBlock]
"""Of one system."""


def first_look(planned: int | None) -> int | None:
    """Return after how many of the planned cycles times are looked at first; None where they are looked at once.

    A record that does not say how many were planned was measured to its end.
    """
    cycles = max(_LEAST_CYCLES, math.ceil((planned or 0) / _FIRST_LOOK_PARTS))
    return cycles if planned is not None and cycles < planned else None


def look_z(planned: int | None, blocks: Blocks) -> float:
    """Return how many standard errors are asked for of these blocks: more where they are not all that was planned."""
    cycles = len({block.cycle for block in blocks})
    return ONCE_Z if planned is None or cycles >= planned else FIRST_LOOK_Z


class _Timed(NamedTuple):
    cycle: int
    answer: TimedAnswer
    value: float


class _Pair(NamedTuple):
    cycle: int
    case_id: str
    ours: float
    theirs: float


def seconds_of(answer: TimedAnswer, metric: Metric) -> float | None:
    """Return a time of one answer; None of the time per output token where there is one token at most."""
    match metric:
        case Metric.TIME_TO_FIRST_TOKEN_S:
            return answer.time_to_first_token_s
        case Metric.TIME_PER_OUTPUT_TOKEN_S:
            further = answer.completion_tokens - 1
            return (answer.end_to_end_s - answer.time_to_first_token_s) / further if further > 0 else None
        case _:
            return answer.end_to_end_s


def typical_times(blocks: Blocks, metric: Metric, *, concurrency: int = 1) -> dict[str, float]:
    """Return the mean time of each prompt, by the case whose it is."""
    of_case: dict[str, list[float]] = defaultdict(list)
    for timed in _timed(blocks, metric, concurrency, None):
        of_case[timed.answer.case_id].append(timed.value)
    return {case_id: mean(values) for case_id, values in of_case.items()}


def latency_figure(
    criterion: Criterion, ours: Blocks, theirs: Blocks, *, case_ids: Collection[str] | None, z: float
) -> Figure:
    """Return the criterion's figure with one-sided bounds `z` standard errors away; `case_ids` chooses the prompts.

    The error is the larger of the two that take prompts, and cycles, as the independent units (Student's t): a slow
    minute is shared by all of a cycle, a long prompt by all of its runs.
    """
    concurrency = criterion.concurrency or 1
    if criterion.rule is not Rule.NO_WORSE_THAN:
        return _level(criterion.statistic, _timed(ours, criterion.metric, concurrency, case_ids), z)
    pairs, _ = _pairs(ours, theirs, criterion.metric, concurrency, case_ids)
    cycles, prompts = [str(pair.cycle) for pair in pairs], [pair.case_id for pair in pairs]
    if criterion.statistic is Statistic.RATIO:
        logs = [math.log(pair.ours / pair.theirs) for pair in pairs]
        found = _mean_figure(logs, cycles, prompts, z)
        if found.value is None:
            return found
        low = math.expm1(found.low) if math.isfinite(found.low) else -math.inf
        high = math.expm1(found.high) if math.isfinite(found.high) else math.inf
        return Figure(found.n, found.families, math.expm1(found.value), low, high)
    return _mean_figure([pair.ours - pair.theirs for pair in pairs], cycles, prompts, z)


def latency_doubts(
    criterion: Criterion, ours: Blocks, theirs: Blocks, *, case_ids: Collection[str] | None
) -> Iterator[str]:
    """Yield why nothing may be concluded from these blocks, whatever their figures."""
    concurrency = criterion.concurrency or 1
    compares = criterion.rule is Rule.NO_WORSE_THAN
    arms = [[block for block in blocks if block.concurrency == concurrency] for blocks in (ours, theirs)]
    busiest = max((block.production_requests or 0 for arm in arms[: 1 + compares] for block in arm), default=0)
    if busiest > MAX_PRODUCTION_REQUESTS:
        yield f"{busiest} production requests ran in one block"
    sizes = [_mean_of(arm, lambda block: block.batch_rows) for arm in arms]
    fewest = min((size for size in sizes[: 1 + compares] if size > 0), default=math.inf)
    if fewest < LEAST_BATCH_RATIO * concurrency:
        yield f"{concurrency} requests were kept in flight, and {fewest:.1f} ran together"
    if not compares or not all(arms):
        return
    pairs, excluded = _pairs(ours, theirs, criterion.metric, concurrency, case_ids)
    if excluded > UNEQUAL_LIMIT_RATIO * (len(pairs) + excluded):
        yield f"{excluded} of {len(pairs) + excluded} pairs have outputs of unequal length"
    if pairs and len({pair.cycle for pair in pairs}) < 2:  # noqa: PLR2004 - one cycle has no spread
        yield "fewer than two cycles have both arms: what drifted between the arms is not known"
    if min(sizes) > 0 and max(sizes) / min(sizes) > BATCH_LIMIT_RATIO:
        yield f"the arms ran in batches of {sizes[0]:.1f} and {sizes[1]:.1f} rows"
    cached = [sum(answer.cached_tokens for block in arm for answer in block.answers) for arm in arms]
    if cached[0] != cached[1]:
        yield f"the arms took {cached[0]} and {cached[1]} tokens of their prompts from the cache"


def _timed(blocks: Blocks, metric: Metric, concurrency: int, case_ids: Collection[str] | None) -> list[_Timed]:
    return [
        _Timed(block.cycle, answer, seconds)
        for block in blocks
        if block.concurrency == concurrency
        for answer in block.answers
        if (case_ids is None or answer.case_id in case_ids) and (seconds := seconds_of(answer, metric)) is not None
    ]


def _level(statistic: Statistic, timed: Sequence[_Timed], z: float) -> Figure:
    if statistic.percentile is not None:
        # One prompt's runs are alike, and a percentile is of prompts: each counts once.
        first: dict[str, float] = {}
        for each in timed:
            first.setdefault(each.answer.case_id, each.value)
        return percentile_figure(list(first.values()), statistic.percentile, z)
    cycles, prompts = [str(each.cycle) for each in timed], [each.answer.case_id for each in timed]
    found = _mean_figure([each.value for each in timed], cycles, prompts, z)
    low, high = max(found.low, 0.0), found.high
    value = {Statistic.LOWER_BOUND: low, Statistic.UPPER_BOUND: high}.get(statistic, found.value)
    return Figure(found.n, found.families, value if value is not None and math.isfinite(value) else None, low, high)


def percentile_figure(values: Sequence[float], share: float, z: float) -> Figure:
    """Return the sample's percentile with bounds that are values of the sample, by the binomial distribution."""
    if not values:
        return NOTHING
    ordered = sorted(values)
    low, high = quantile_ranks(share, len(ordered), z)
    return Figure(
        n=len(ordered),
        families=len(ordered),
        value=ordered[math.ceil(share * len(ordered)) - 1],
        low=-math.inf if low is None else ordered[low - 1],
        high=math.inf if high is None else ordered[high - 1],
    )


def _pairs(
    ours: Blocks, theirs: Blocks, metric: Metric, concurrency: int, case_ids: Collection[str] | None
) -> tuple[list[_Pair], int]:
    """Return the geometric mean times of each prompt within each cycle; and how many pairs are left out.

    Left out are those whose outputs differ in length: how much is said is another matter than how fast.
    """
    arms = [_by_prompt(_timed(blocks, metric, concurrency, case_ids)) for blocks in (ours, theirs)]
    pairs: list[_Pair] = []
    excluded = 0
    for (cycle, case_id), mine in arms[0].items():
        others = arms[1].get((cycle, case_id))
        if others is None:
            continue
        if len({timed.answer.completion_tokens for timed in (*mine, *others)}) > 1:
            excluded += 1
            continue
        values = [_geometric_mean([timed.value for timed in arm]) for arm in (mine, others)]
        if values[0] > 0 and values[1] > 0:
            pairs.append(_Pair(cycle, case_id, *values))
    return pairs, excluded


def _by_prompt(timed: Sequence[_Timed]) -> dict[tuple[int, str], list[_Timed]]:
    groups: dict[tuple[int, str], list[_Timed]] = defaultdict(list)
    for each in timed:
        groups[each.cycle, each.answer.case_id].append(each)
    return groups


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(mean([math.log(value) for value in values])) if min(values) > 0 else 0.0


def _mean_figure(values: Sequence[float], cycles: Sequence[str], prompts: Sequence[str], z: float) -> Figure:
    if not values:
        return NOTHING
    centre = mean(values)
    reach = max(_reach(values, units, z) for units in (cycles, prompts))
    return Figure(len(values), len(set(cycles)), centre, centre - reach, centre + reach)


def _reach(values: Sequence[float], units: Sequence[str], z: float) -> float:
    count = len(set(units))
    if count < 2:  # noqa: PLR2004 - one unit has no spread
        return math.inf
    return student_quantile(z, count - 1) * float(family_mean(np.asarray(values), grouped(units)).error)


def _mean_of(blocks: Blocks, figure: Callable[[LatencyBlock], float | None]) -> float:
    values = [value for block in blocks if (value := figure(block)) is not None]
    return mean(values) if values else 0.0
