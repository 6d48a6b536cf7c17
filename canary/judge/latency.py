"""What timed requests say of two systems: ratios with intervals, bounds of percentiles, and when nothing is said.

Times are compared within a cycle, a stretch of the run in which both arms were timed on the same prompts soon after one
another: one prompt back to back, or the blocks of one A-B-B-A. What drifts from cycle to cycle meets both arms.
"""

import enum
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np

from canary.judge.paired import family_mean, grouped
from canary.judge.statistics import mean, quantile_ranks, student_quantile
from gateway.contracts.evaluations import Role

WARM_UP_COUNT = 2
"""First requests after each load of an engine that are dropped: they pay for what is made once."""
BATCH_LIMIT_RATIO = 1.1
"""Between the arms' mean batch sizes. A step of more rows takes longer, whatever the variant."""
UNEQUAL_LIMIT_RATIO = 0.1
"""Of the pairs, those that may be left out for unequal lengths of output."""
MAX_PRODUCTION_REQUESTS = 1
"""At a time, beside a timed request."""


class Quantity(enum.StrEnum):
    TIME_TO_FIRST_TOKEN_S = "time_to_first_token_s"  # noqa: S105 - a quantity; no secret has this name
    TIME_PER_OUTPUT_TOKEN_S = "time_per_output_token_s"  # noqa: S105 - as above
    END_TO_END_S = "end_to_end_s"


class TimedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a latency run."""

    sequence: int
    """Position in the order of execution, from 0."""
    role: Role
    concurrency: int
    """Requests that the run kept in flight."""
    cycle: int
    load: int
    """Of the arm's engine, numbered over the run."""
    prompt_id: str
    time_to_first_token_s: float
    end_to_end_s: float
    completion_tokens: int
    cached_tokens: int
    """Of the prompt, taken from a cache."""
    batch_size: float
    """Mean number of rows of the steps that served it."""
    production_requests: int
    """Others' requests that ran beside it, at most at a time."""

    def value(self, quantity: Quantity) -> float | None:
        """Return seconds; None of the time per output token where there is one token at most."""
        match quantity:
            case Quantity.TIME_TO_FIRST_TOKEN_S:
                return self.time_to_first_token_s
            case Quantity.END_TO_END_S:
                return self.end_to_end_s
            case Quantity.TIME_PER_OUTPUT_TOKEN_S:
                further = self.completion_tokens - 1
                return (self.end_to_end_s - self.time_to_first_token_s) / further if further > 0 else None


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """Candidate over incumbent, the geometric mean over the pairs, with one-sided bounds."""

    quantity: Quantity
    concurrency: int
    pairs: int
    """Of a prompt within a cycle."""
    excluded: int
    """Pairs left out because the two outputs differ in length."""
    cycles: int
    value: float | None
    low: float | None
    high: float | None
    inconclusive: tuple[str, ...]
    """Why nothing may be concluded; empty where something may."""


class Percentile(msgspec.Struct, frozen=True, kw_only=True):
    """A percentile of one arm; a bound that so few requests do not allow is None."""

    n: int
    value: float | None
    low: float | None
    high: float | None


def measured(requests: Sequence[TimedRequest], *, warm_up_count: int = WARM_UP_COUNT) -> tuple[TimedRequest, ...]:
    """Return the requests without the first few of each load, in the order of execution."""
    seen: dict[tuple[Role, int], int] = defaultdict(int)
    kept: list[TimedRequest] = []
    for request in sorted(requests, key=lambda each: each.sequence):
        place = (request.role, request.load)
        if seen[place] >= warm_up_count:
            kept.append(request)
        seen[place] += 1
    return tuple(kept)


def ratio_of(requests: Sequence[TimedRequest], quantity: Quantity, *, concurrency: int, z: float) -> Ratio:
    """Compare the arms on `measured` requests of one concurrency; the bounds lie `z` standard errors away.

    A pair is the mean logarithm of each arm's times of one prompt in one cycle. The error is the larger of the two
    that take prompts, and cycles, as the independent units (Student's t): a slow minute is shared by all of a cycle.
    """
    chosen = [request for request in requests if request.concurrency == concurrency]
    pairs, excluded = _pairs(chosen, quantity)
    logs = [math.log(ours / theirs) for _, _, ours, theirs in pairs]
    cycles = [str(cycle) for cycle, _, _, _ in pairs]
    prompts = [prompt_id for _, prompt_id, _, _ in pairs]
    reach = max((_reach(logs, units, z) for units in (cycles, prompts)), default=math.inf)
    centre = mean(logs) if logs else None
    bounded = centre is not None and math.isfinite(reach)
    return Ratio(
        quantity=quantity,
        concurrency=concurrency,
        pairs=len(pairs),
        excluded=excluded,
        cycles=len(set(cycles)),
        value=None if centre is None else math.exp(centre),
        low=math.exp(centre - reach) if centre is not None and bounded else None,
        high=math.exp(centre + reach) if centre is not None and bounded else None,
        inconclusive=tuple(_doubts(chosen, pair_count=len(pairs), excluded=excluded, bounded=bounded)),
    )


def percentile_of(values: Sequence[float], share: float, *, z: float) -> Percentile:
    """Return the sample's percentile with bounds that are values of the sample, by the binomial distribution."""
    if not values:
        return Percentile(n=0, value=None, low=None, high=None)
    ordered = sorted(values)
    low, high = quantile_ranks(share, len(ordered), z)
    return Percentile(
        n=len(ordered),
        value=ordered[math.ceil(share * len(ordered)) - 1],
        low=None if low is None else ordered[low - 1],
        high=None if high is None else ordered[high - 1],
    )


def _pairs(requests: Sequence[TimedRequest], quantity: Quantity) -> tuple[list[tuple[int, str, float, float]], int]:
    """Return cycle, prompt, and geometric mean times of candidate and incumbent; and how many pairs are left out."""
    groups: dict[tuple[int, str], list[TimedRequest]] = defaultdict(list)
    for request in requests:
        groups[request.cycle, request.prompt_id].append(request)
    pairs: list[tuple[int, str, float, float]] = []
    excluded = 0
    for (cycle, prompt_id), members in groups.items():
        if {member.role for member in members} != set(Role):
            continue
        if len({member.completion_tokens for member in members}) > 1:
            excluded += 1
            continue
        ours, theirs = _typical(members, Role.CANDIDATE, quantity), _typical(members, Role.INCUMBENT, quantity)
        if ours is not None and theirs is not None:
            pairs.append((cycle, prompt_id, ours, theirs))
    return pairs, excluded


def _typical(requests: Sequence[TimedRequest], role: Role, quantity: Quantity) -> float | None:
    values = [request.value(quantity) for request in requests if request.role is role]
    logs = [math.log(value) for value in values if value is not None and value > 0]
    return math.exp(mean(logs)) if logs else None


def _reach(logs: Sequence[float], units: Sequence[str], z: float) -> float:
    count = len(set(units))
    if count < 2:  # noqa: PLR2004 - one unit has no spread
        return math.inf
    return student_quantile(z, count - 1) * float(family_mean(np.asarray(logs), grouped(units)).error)


def _doubts(requests: Sequence[TimedRequest], *, pair_count: int, excluded: int, bounded: bool) -> Iterator[str]:
    if not bounded:
        yield "fewer than two cycles have both arms: what drifted between the arms is not known"
    if excluded > UNEQUAL_LIMIT_RATIO * (pair_count + excluded):
        yield f"{excluded} of {pair_count + excluded} pairs have outputs of unequal length"
    sizes = [_mean_of(requests, role, lambda request: request.batch_size) for role in Role]
    if min(sizes) > 0 and max(sizes) / min(sizes) > BATCH_LIMIT_RATIO:
        yield f"the arms ran in batches of {sizes[0]:.1f} and {sizes[1]:.1f} rows"
    cached = [_mean_of(requests, role, lambda request: float(request.cached_tokens)) for role in Role]
    if cached[0] != cached[1]:
        yield f"the arms took {cached[0]:.0f} and {cached[1]:.0f} tokens of a prompt from the cache"
    busiest = max((request.production_requests for request in requests), default=0)
    if busiest > MAX_PRODUCTION_REQUESTS:
        yield f"{busiest} production requests ran beside a timed one"


def _mean_of(requests: Sequence[TimedRequest], role: Role, figure: Callable[[TimedRequest], float]) -> float:
    values = [figure(request) for request in requests if request.role is role]
    return mean(values) if values else 0.0
