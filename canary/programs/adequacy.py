"""Do a case's worlds tell its oracle from programs that are wrong?"""

from collections.abc import Iterator, Sequence

from canary.programs.behaviour import Behaviour, Failure, difference
from canary.programs.messages import Limits
from canary.programs.reference import Task
from canary.programs.worlds import World

TIME_S = 0.1
"""A mutant may never end, and each that does not costs this; oracles take a few milliseconds."""
_BATCH_COUNT = 64
"""Programs in one message to the sandbox."""


def telling_world(
    source: str, task: Task, worlds: Sequence[World], expected: Sequence[Behaviour], *, time_s: float = TIME_S
) -> int | None:
    """Return the number of the first world in which the program does not do as expected, or None."""
    return next(_telling_worlds([source], task, worlds, expected, time_s))


def telling_worlds(
    sources: Sequence[str], task: Task, worlds: Sequence[World], expected: Sequence[Behaviour]
) -> list[int | None]:
    """Return `telling_world` of each program; many are asked about in one message."""
    batches = (sources[start : start + _BATCH_COUNT] for start in range(0, len(sources), _BATCH_COUNT))
    return [number for batch in batches for number in _telling_worlds(batch, task, worlds, expected, TIME_S)]


def survivors(sources: Sequence[str], task: Task, worlds: Sequence[World], expected: Sequence[Behaviour]) -> list[str]:
    """Return the programs that no world tells from the oracle."""
    found = telling_worlds(sources, task, worlds, expected)
    return [source for source, number in zip(sources, found, strict=True) if number is None]


def _telling_worlds(
    sources: Sequence[str], task: Task, worlds: Sequence[World], expected: Sequence[Behaviour], time_s: float
) -> Iterator[int | None]:
    """One world is tried, then twice as many each time: most mutants show themselves in the first."""
    limits = Limits(time_s=time_s, calls_count=task.max_calls)
    found: dict[str, int] = {}
    start, count = 0, 1
    while start < len(worlds) and (left := [source for source in sources if source not in found]):
        for source, outcomes in zip(
            left, task.run_all(left, tuple(worlds[start : start + count]), limits), strict=True
        ):
            for number, outcome in enumerate(outcomes, start=start):
                if isinstance(outcome, Failure) or difference(outcome, expected[number], task.effects) is not None:
                    found[source] = number
                    break
        start, count = start + count, 2 * count
    return (found.get(source) for source in sources)
