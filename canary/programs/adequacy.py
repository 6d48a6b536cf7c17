"""Do a case's worlds tell its oracle from programs that are wrong?"""

from collections.abc import Iterable, Sequence

from canary.programs.behaviour import Behaviour, Failure, difference
from canary.programs.messages import Limits
from canary.programs.reference import Task
from canary.programs.worlds import World

TIME_S = 0.25
"""A mutant may never end; oracles take a few milliseconds."""


def telling_world(
    source: str, task: Task, worlds: Sequence[World], expected: Sequence[Behaviour], *, time_s: float = TIME_S
) -> int | None:
    """Return the number of the first world in which the program does not do as expected, or None.

    One world is tried, then twice as many each time: most mutants show themselves in the first.
    """
    limits = Limits(time_s=time_s, calls_count=task.max_calls)
    start, count = 0, 1
    while start < len(worlds):
        outcomes = task.run(source, tuple(worlds[start : start + count]), limits=limits)
        for number, outcome in enumerate(outcomes, start=start):
            if isinstance(outcome, Failure) or difference(outcome, expected[number], task.effects) is not None:
                return number
        start, count = start + count, 2 * count
    return None


def survivors(sources: Iterable[str], task: Task, worlds: Sequence[World], expected: Sequence[Behaviour]) -> list[str]:
    """Return the programs that no world tells from the oracle."""
    return [source for source in sources if telling_world(source, task, worlds, expected) is None]
