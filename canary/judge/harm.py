"""Whether, and after which case, a candidate counts as worse."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from canary.judge.betting import log_evidence
from canary.judge.evidence import Evidence
from canary.judge.profiles import CATASTROPHE_EVIDENCE, HARM_EVIDENCE
from gateway.contracts.evaluations import Criterion, Rule, Statistic


class Harm(NamedTuple):
    criterion: str
    case_id: str
    """The case that settled it."""
    evidence: float
    category: str | None
    """Where it was found in one category of an overall criterion."""


def is_sequential(criterion: Criterion) -> bool:
    """Return whether harm to this criterion may end a run between two looks: a mean of grades, with a floor."""
    return (
        criterion.metric.higher_is_better
        and criterion.statistic is Statistic.MEAN
        and (criterion.rule is Rule.NO_WORSE_THAN or (criterion.rule is Rule.AT_LEAST and criterion.bound < 1))
    )


def find_harms(
    criterion: Criterion, candidate: Evidence, incumbent: Evidence, categories: Sequence[str]
) -> Iterator[Harm]:
    """Yield where the criterion, and for an overall difference each category by itself, comes to its evidence first."""
    if not is_sequential(criterion):
        return
    scopes = [(criterion.category, HARM_EVIDENCE)]
    if criterion.rule is Rule.NO_WORSE_THAN and criterion.category is None:
        scopes += [(category, CATASTROPHE_EVIDENCE) for category in categories]
    for category, needed in scopes:
        values = _values(criterion, candidate, incumbent, category)
        at = first_harm(criterion, values, candidate.families, needed=needed)
        if at is not None:
            case_id, evidence = at
            yield Harm(criterion.name, case_id, evidence, category if category != criterion.category else None)


def first_harm(
    criterion: Criterion, values: Mapping[str, float], families: Mapping[str, str], *, needed: float
) -> tuple[str, float] | None:
    """Return the case at which the evidence first reaches `needed` while the mean so far misses the bound.

    Against a floor, the hypothesis is that the mean is at least the floor. Against a margin, it is that the candidate
    is no worse at all, and the margin is what the mean so far must be beyond: that it is worse is shown, by how much is
    estimated. Each family is bet on once, at its first case: later ones are no independent draws.
    """
    if not values:
        return None
    against_floor = criterion.rule is Rule.AT_LEAST
    floor, limit = (criterion.bound, criterion.bound) if against_floor else (0.0, -criterion.bound)
    found = np.asarray(list(values.values()))
    means = np.cumsum(found) / np.arange(1, len(found) + 1)
    first = _first_of_family(values, families)
    evidence = log_evidence(found[first], floor=floor, top=1.0)
    harmed = (evidence >= math.log(needed)) & (means[first] < limit if against_floor else means[first] <= limit)
    if not harmed.any():
        return None
    position = int(harmed.argmax())
    return list(values)[first[position]], math.exp(float(evidence[position]))


def _first_of_family(values: Mapping[str, float], families: Mapping[str, str]) -> list[int]:
    seen: dict[str, int] = {}
    for position, case_id in enumerate(values):
        seen.setdefault(families[case_id], position)
    return list(seen.values())


def _values(criterion: Criterion, candidate: Evidence, incumbent: Evidence, category: str | None) -> dict[str, float]:
    ours = candidate.values(criterion.metric, category, criterion.tag)
    if criterion.rule is Rule.AT_LEAST:
        return ours
    theirs = incumbent.values(criterion.metric, category, criterion.tag)
    return {case_id: value - theirs[case_id] for case_id, value in ours.items() if case_id in theirs}
