"""Measure the program grader: what share of wrong programs it refuses, and of right ones it accepts, over all families.

    canary suite mutate --seed N [--per-family N] [--write NOTES.md]

A mutant that the case's worlds do not tell from the oracle is run in `JUDGING_WORLDS_COUNT` further worlds, drawn for
this and unknown to the case. What these do not tell from it either counts as equivalent; what they do is a survivor.
"""

from collections import Counter
from collections.abc import Iterator

import msgspec

from canary.programs.adequacy import telling_world, telling_worlds
from canary.programs.behaviour import Behaviour
from canary.programs.families.family import Family
from canary.programs.families.generate import FAMILIES, sound_workshop
from canary.programs.families.workshop import Workshop
from canary.programs.messages import Limits
from canary.programs.mutants.catalogue import Mutant, mutants_of
from canary.programs.reference import reference_of
from canary.programs.rewrites.catalogue import Rewrite, rewrites_of

JUDGING_WORLDS_COUNT = 64
START_MARK, END_MARK = "<!-- mutation: made by a command -->", "<!-- mutation: end -->"


class Tally(msgspec.Struct, kw_only=True):
    """Counts by operator or rewrite, and what went wrong, to be looked at."""

    killed: Counter[str] = msgspec.field(default_factory=Counter[str])
    equivalent: Counter[str] = msgspec.field(default_factory=Counter[str])
    survived: Counter[str] = msgspec.field(default_factory=Counter[str])
    accepted: Counter[str] = msgspec.field(default_factory=Counter[str])
    refused: Counter[str] = msgspec.field(default_factory=Counter[str])
    survivors: list[tuple[str, Mutant]] = msgspec.field(default_factory=list[tuple[str, Mutant]])
    refusals: list[tuple[str, Rewrite]] = msgspec.field(default_factory=list[tuple[str, Rewrite]])

    @property
    def killed_ratio(self) -> float:
        """Of the mutants that are not equivalent."""
        killed, survived = self.killed.total(), self.survived.total()
        return killed / (killed + survived) if killed + survived else 0.0


def measure(seed: int, per_family: int) -> Tally:
    """Return the tally over every family that is solved by a program."""
    tally = Tally()
    for family in FAMILIES:
        if isinstance(family, Family):
            for number in range(1, per_family + 1):
                _measure_case(family.key, sound_workshop(family, seed, number), tally)
    return tally


def _measure_case(family: str, workshop: Workshop, tally: Tally) -> None:
    task = workshop.program.ready({}).task
    expected = reference_of(task).behaviours
    mutants = mutants_of(task, expected[0])
    told = telling_worlds([mutant.source for mutant in mutants], task, task.worlds, expected)
    left = [mutant for mutant, number in zip(mutants, told, strict=True) if number is None]
    tally.killed.update(mutant.operator for mutant, number in zip(mutants, told, strict=True) if number is not None)
    judging = workshop.fresh_worlds(JUDGING_WORLDS_COUNT) if left else ()
    outcomes = task.run(task.oracle, judging)
    sound = [
        (world, outcome) for world, outcome in zip(judging, outcomes, strict=True) if isinstance(outcome, Behaviour)
    ]
    worlds, outcomes = [world for world, _ in sound], [outcome for _, outcome in sound]
    told = telling_worlds([mutant.source for mutant in left], task, worlds, outcomes)
    for mutant, number in zip(left, told, strict=True):
        if number is None:
            tally.equivalent[mutant.operator] += 1
        else:
            tally.survived[mutant.operator] += 1
            tally.survivors.append((family, mutant))
    for rewrite in rewrites_of(task):
        if telling_world(rewrite.source, task, task.worlds, expected, time_s=Limits().time_s) is None:
            tally.accepted[rewrite.kind] += 1
        else:
            tally.refused[rewrite.kind] += 1
            tally.refusals.append((family, rewrite))


def table(tally: Tally, command: str) -> str:
    """Return the tally in Markdown."""
    return "\n".join(_lines(tally, command))


def _lines(tally: Tally, command: str) -> Iterator[str]:
    yield f"Made by `{command}`."
    yield ""
    yield "| wrong programs | killed | survived | equivalent |"
    yield "|---|---:|---:|---:|"
    for operator in sorted(tally.killed | tally.survived | tally.equivalent):
        counts = (tally.killed[operator], tally.survived[operator], tally.equivalent[operator])
        yield f"| {operator.replace('_', ' ')} | {' | '.join(map(str, counts))} |"
    totals = (tally.killed.total(), tally.survived.total(), tally.equivalent.total())
    yield f"| **all** | **{'** | **'.join(map(str, totals))}** |"
    yield ""
    yield f"Killed of those that are not equivalent: {tally.killed_ratio:.2%}."
    yield ""
    yield "| right programs, rewritten | accepted | refused |"
    yield "|---|---:|---:|"
    for kind in sorted(tally.accepted | tally.refused):
        yield f"| {kind} | {tally.accepted[kind]} | {tally.refused[kind]} |"
    yield f"| **all** | **{tally.accepted.total()}** | **{tally.refused.total()}** |"


def written_into(notes: str, content: str) -> str:
    """Return the notes with what stands between the two marks replaced. Raises ValueError where a mark is missing."""
    head, start, rest = notes.partition(START_MARK)
    _, end, tail = rest.partition(END_MARK)
    if not (start and end):
        raise ValueError(f"the marks {START_MARK!r} and {END_MARK!r} are missing")
    return f"{head}{start}\n\n{content}\n\n{end}{tail}"
