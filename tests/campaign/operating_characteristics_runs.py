"""Runs that never took place, thousands at a time, and what the shipped rule makes of each."""

from collections.abc import Iterable
from statistics import mean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from canary.judge.betting import log_evidence
from canary.judge.paired import effective_count, family_mean, grouped, least_families, tango_score, wilson_low
from canary.judge.profiles import CATASTROPHE_EVIDENCE, HARM_EVIDENCE, PLANS, UNSEEN_CHANCE
from canary.judge.statistics import student_quantile
from gateway.contracts.evaluations import Profile

Grades = NDArray[np.float64]


class Truth(NamedTuple):
    """What is true of the two systems. Shares of cases, but for the two of families."""

    change: float
    """Candidate less incumbent, in accuracy, where no family is broken."""
    discordance: float
    """Cases that only one of the two has right. Raised to the size of the change where it is below."""
    reference: float = 0.90
    """Accuracy of the incumbent where no family is broken."""
    broken_families: float = 0.0
    broken_part: float = 1.0
    """Of the cases of a broken family, those that the incumbent has right and the candidate wrong."""
    mended_families: float = 0.0
    """All of their cases are right by the candidate alone."""
    hard_families: float = 0.0
    """All of their cases are wrong by both."""


class Shape(NamedTuple):
    families: int
    cases_of_each: int = 1


class Runs(NamedTuple):
    """A row a run, a column a case in the order of the run: one case of each family, then the next of each."""

    candidate: Grades
    incumbent: Grades
    families: tuple[str, ...]
    categories: int
    """Families are of these in turn."""


class Counts(NamedTuple):
    promoted: float
    rejected: float
    inconclusive: float
    mean_cases: float
    """At which the run stops."""


def draw_runs(generator: np.random.Generator, truth: Truth, shape: Shape, *, runs: int, categories: int = 5) -> Runs:
    size = (runs, shape.cases_of_each, shape.families)
    discordance = max(truth.discordance, abs(truth.change))
    gained, lost = (discordance + truth.change) / 2, (discordance - truth.change) / 2
    both = (truth.reference - lost) / (1 - discordance)
    draw = generator.random(size)
    incumbent = np.where(draw < gained, 0.0, np.where(draw < discordance, 1.0, generator.random(size) < both))
    candidate = np.where(draw < gained, 1.0, np.where(draw < discordance, 0.0, incumbent))
    family = generator.random((runs, 1, shape.families))
    broken = (family < truth.broken_families) & (generator.random(size) < truth.broken_part)
    family = family - truth.broken_families
    mended = (family >= 0) & (family < truth.mended_families)
    family = family - truth.mended_families
    hard = (family >= 0) & (family < truth.hard_families)
    incumbent = np.where(broken, 1.0, np.where(mended | hard, 0.0, incumbent))
    candidate = np.where(mended, 1.0, np.where(broken | hard, 0.0, candidate))
    names = tuple(f"family {position}" for _ in range(shape.cases_of_each) for position in range(shape.families))
    flat = (runs, shape.cases_of_each * shape.families)
    return Runs(candidate.reshape(flat), incumbent.reshape(flat), names, categories)


def add_counts(counts: Iterable[Counts]) -> Counts:
    """Return the means over batches of one size."""
    return Counts(*(mean(column) for column in zip(*counts, strict=True)))


def judge_runs(runs: Runs, *, profile: Profile, margin: float, floor: float) -> Counts:
    """Apply the profile's rule to every run: a required floor and a required margin of accuracy.

    The same as `canary.judge` does with one record, by the same functions; a test holds the two against each other.
    """
    outcome, cases = stop_runs(runs, profile=profile, margin=margin, floor=floor)
    shares = [float((outcome == value).mean()) for value in (1, -1, 0)]
    return Counts(*shares, mean_cases=float(cases.mean()))


def stop_runs(
    runs: Runs, *, profile: Profile, margin: float, floor: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each run's outcome (1 promoted, -1 rejected, 0 inconclusive) and the number of cases it read."""
    plan, count = PLANS[profile], len(runs.families)
    planned = plan.planned(count)
    harm_at = _harm_at(runs, planned, margin=margin, floor=floor)
    outcome = np.zeros(len(harm_at), dtype=np.int64)
    cases = np.full(len(harm_at), planned)
    running = np.ones(len(harm_at), dtype=bool)
    for look, z in zip(plan.looks(count), plan.boundaries, strict=True):
        harmed = running & (harm_at <= look)
        outcome[harmed], cases[harmed] = -1, harm_at[harmed]
        running &= ~harmed
        holds, missed = _at_look(runs, look, z, margin=margin, floor=floor)
        for chosen, value in ((running & missed, -1), (running & holds & ~missed, 1)):
            outcome[chosen], cases[chosen] = value, look
            running &= ~chosen
    return outcome, cases


def _harm_at(runs: Runs, planned: int, *, margin: float, floor: float) -> NDArray[np.int64]:
    """Return after how many cases each run shows harm; beyond `planned` where it never does."""
    names = runs.families[:planned]
    first = {name: position for position, name in reversed(list(enumerate(names)))}
    positions = sorted(first.values())
    differences, grades = (runs.candidate - runs.incumbent)[:, :planned], runs.candidate[:, :planned]
    found = _first_harm(differences, positions, floor=0.0, limit=-margin, needed=HARM_EVIDENCE)
    found = np.minimum(found, _first_harm(grades, positions, floor=floor, limit=floor - 1e-9, needed=HARM_EVIDENCE))
    columns = np.arange(planned)
    category_of = np.array([int(name.split()[1]) % runs.categories for name in names])
    for category in range(runs.categories):
        chosen = columns[category_of == category]
        within = [position for position, column in enumerate(chosen) if column in positions]
        at = _first_harm(differences[:, chosen], within, floor=0.0, limit=-margin, needed=CATASTROPHE_EVIDENCE)
        found = np.minimum(found, np.append(chosen, planned)[np.minimum(at - 1, len(chosen))] + 1)
    return found


def _first_harm(
    values: Grades, positions: list[int], *, floor: float, limit: float, needed: float
) -> NDArray[np.int64]:
    means = (np.cumsum(values, axis=-1) / np.arange(1, values.shape[-1] + 1))[:, positions]
    evidence = log_evidence(values[:, positions], floor=floor, top=1.0)
    harmed = (evidence >= np.log(needed)) & (means <= limit)
    return np.where(harmed.any(axis=-1), np.array(positions)[harmed.argmax(axis=-1)] + 1, values.shape[-1] + 1)


def _at_look(
    runs: Runs, look: int, z: float, *, margin: float, floor: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where both criteria hold, and where one is shown to be missed."""
    grouping = grouped(runs.families[:look])
    families = len(grouping.starts)
    quantile = student_quantile(z, families - 1)
    grades = runs.candidate[:, :look]
    differences = grades - runs.incumbent[:, :look]
    value, error = family_mean(differences, grouping)
    count = effective_count(differences.var(axis=-1, ddof=1), error, n=look, families=families)
    share = count / look
    gained, lost = (differences > 0).sum(axis=-1) * share, (differences < 0).sum(axis=-1) * share
    holds = (tango_score(gained, lost, count, -margin) >= z) & (value + margin >= quantile * error)
    holds &= families >= least_families(margin, UNSEEN_CHANCE)
    worse = (tango_score(gained, lost, count, 0.0) < -z) & (value < -quantile * error) & (value <= -margin)
    share, error = family_mean(grades, grouping)
    count = effective_count(share * (1 - share) * look / (look - 1), error, n=look, families=families)
    holds &= wilson_low(share, count, quantile) >= floor
    return holds, worse | (1 - wilson_low(1 - share, count, quantile) < floor)
