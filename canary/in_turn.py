"""Run the trials where the systems do not fit beside each other: block by block, each system in turn."""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from canary.runner import OnTrial, Pace, PlannedTrial, Settled, Trier
from canary.side_by_side import Workers
from canary.stage import InTurn
from canary.trial_log import Tried
from gateway.contracts.evaluations import Trial

BLOCKS = 4
"""Of a run that may stop early: the judge looks for success as often, and for harm after each."""
_MOST_LOANS = 3
"""That a trial gets before its error is its result."""


def run_in_turn(
    trier: Trier,
    plan: Sequence[PlannedTrial],
    *,
    stage: InTurn,
    blocks: int,
    pace: Pace,
    on_trial: OnTrial,
    settled: Settled,
) -> tuple[Trial, ...]:
    """Return the trials of the plan, but those of systems that an earlier block settled, numbered as they end."""
    trials: list[Trial] = []
    over: Collection[int] = ()
    warm: set[int] = set()
    for block in _blocks(plan, blocks):
        by_system: dict[int, list[PlannedTrial]] = {}
        for planned in block:
            by_system.setdefault(planned.position, []).append(planned)
        # The incumbent last: a block of candidates that have settled is none of its either.
        for position in sorted(by_system, reverse=True):
            if position in over:
                continue
            for planned, tried in _turn(trier, by_system[position], stage=stage, pace=pace, warm=warm):
                trial = planned.trial(tried, sequence=len(trials))
                trials.append(trial)
                on_trial(trial, len(plan))
        over = settled(trials)
    return tuple(trials)


def _blocks(plan: Sequence[PlannedTrial], count: int) -> Iterator[Sequence[PlannedTrial]]:
    """Yield the plan in so many parts, each of whole cases."""
    case_ids = list(dict.fromkeys(planned.case.id for planned in plan))
    size = -(-len(case_ids) // count) or 1
    for start in range(0, len(case_ids), size):
        chosen = set(case_ids[start : start + size])
        yield [planned for planned in plan if planned.case.id in chosen]


def _turn(
    trier: Trier, planned: Sequence[PlannedTrial], *, stage: InTurn, pace: Pace, warm: set[int]
) -> Iterator[tuple[PlannedTrial, Tried]]:
    """Run trials of one system, in as many loans as it takes; those that a loan's end has lost are tried again."""
    for each in planned:
        if trier.has(each):
            yield each, trier.trial(each)
    left = [each for each in planned if not trier.has(each)]
    loans = 0
    while left:
        position = left[0].position
        ends_s = stage.bring(position)
        if position not in warm:
            warm.add(position)
            trier.warm_up(left[:1])
        loans += 1
        lost: list[PlannedTrial] = []
        for each, tried in _within(trier, left, pace=pace, ends_s=ends_s):
            left.remove(each)
            if tried.is_lost and ends_s is not None and loans < _MOST_LOANS:
                lost.append(each)
            else:
                loans = 0 if not tried.is_lost else loans
                yield each, tried
        left = [*left, *lost]
        if left and ends_s is not None:
            stage.renew()


def _within(
    trier: Trier, planned: Sequence[PlannedTrial], *, pace: Pace, ends_s: float | None
) -> Iterator[tuple[PlannedTrial, Tried]]:
    """Yield trials as they end; begin none that would outlast the loan, if it takes as long as the longest so far."""
    todo = deque(planned)
    flying: dict[Future[tuple[Tried, float]], PlannedTrial] = {}
    longest_s = 0.0
    with Workers[tuple[Tried, float]](pace.at_once) as workers:

        def timed(each: PlannedTrial) -> Callable[[], tuple[Tried, float]]:
            def run() -> tuple[Tried, float]:
                started_s = time.monotonic()
                return trier.trial(each, workers.given_up), time.monotonic() - started_s

            return run

        while True:
            allowed = pace.allowed()
            while todo and len(flying) < allowed and (ends_s is None or time.monotonic() + longest_s < ends_s):
                each = todo.popleft()
                flying[workers.submit(timed(each))] = each
            if not flying:
                return
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                tried, took_s = future.result()
                longest_s = max(longest_s, took_s)
                yield flying.pop(future), tried
