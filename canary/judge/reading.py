"""Read the cases of a run in their order, up to where the rule stops."""

from collections.abc import Sequence

import msgspec

from canary.judge.criteria import apply_to_bounds, is_decisive
from canary.judge.evidence import Evidence
from canary.judge.harm import Harm, find_harms
from canary.judge.order import case_order
from canary.judge.profiles import PLANS, Plan
from gateway.contracts.evaluations import CriterionResult, Evaluation, Metric, Outcome, StopCause, Stopping


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of one candidate, and what it came to."""

    candidate: Evidence
    """Of the cases read, in their order, like the incumbent's."""
    incumbent: Evidence
    results: tuple[CriterionResult, ...]
    stopping: Stopping


class _Run(msgspec.Struct, frozen=True):
    evaluation: Evaluation
    candidate: Evidence
    incumbent: Evidence
    order: tuple[str, ...]
    """Identifiers of the planned cases."""
    available: int
    """Of these, from the first, how many may be read."""

    @property
    def plan(self) -> Plan:
        return PLANS[self.evaluation.profile]


def read(evaluation: Evaluation, candidate: Evidence, incumbent: Evidence) -> Reading:
    """Return where the profile's rule stops in a run that is over, and the results there.

    The rule stops at the first case that completes the evidence for harm to a required criterion; at a look at which
    every required criterion over trials holds, or one is shown to be missed; and at the last look. A case that was not
    tried has no result.
    """
    order = _order(evaluation)
    reading = _read(_Run(evaluation, candidate, incumbent, order, len(order)))
    if reading is None:
        raise AssertionError("all of the order may be read, and the last look stops")
    return reading


def read_so_far(
    evaluation: Evaluation, candidate: Evidence, incumbent: Evidence, *, looks_behind: int = 0
) -> Reading | int:
    """Return where the rule stops in a run that goes on; where it has to go on, how many looks it has behind it.

    The order is read up to the first case that one of the two was not tried on, so the answer is what `read` will
    give for the record, whichever cases were tried beyond. A look that was taken before has the same answer: told
    how many those are, this does not take them again.
    """
    order = _order(evaluation)
    tried = (case_id in candidate.trials and case_id in incumbent.trials for case_id in order)
    available = next((count for count, is_tried in enumerate(tried) if not is_tried), len(order))
    reading = _read(_Run(evaluation, candidate, incumbent, order, available), looks_behind=looks_behind)
    if reading is not None:
        return reading
    return sum(cases <= available for cases in PLANS[evaluation.profile].looks(len(order)))


def _order(evaluation: Evaluation) -> tuple[str, ...]:
    planned = PLANS[evaluation.profile].planned(len(evaluation.cases))
    return tuple(case.id for case in case_order(evaluation.cases, evaluation.seed))[:planned]


def _read(run: _Run, *, looks_behind: int = 0) -> Reading | None:
    harms = _harms(run)
    first_harm = min((cases for cases, harm in harms if _decides(run, harm.criterion)), default=len(run.order) + 1)
    looks = run.plan.looks(len(run.order))
    for number, (cases, z) in enumerate(zip(looks, run.plan.boundaries, strict=True)):
        stop_at = min(cases, first_harm)
        if number < looks_behind and stop_at == cases:
            continue
        if stop_at > run.available:
            return None
        # Of several for one criterion the first counts, which comes last here.
        found = {harm.criterion: harm for at, harm in harms if at <= stop_at}
        candidate, incumbent = run.candidate.of(run.order[:stop_at]), run.incumbent.of(run.order[:stop_at])
        results = tuple(
            apply_to_bounds(
                criterion,
                candidate,
                incumbent,
                z=z,
                min_pairs=run.evaluation.min_pairs,
                harm=found.get(criterion.name),
            )
            for criterion in run.evaluation.criteria
        )
        cause = StopCause.HARM if stop_at < cases else _cause(results, candidate, last=cases == looks[-1])
        if cause is not None:
            stopping = _stopping(cause, candidate, incumbent, planned=len(run.order))
            return Reading(candidate=candidate, incumbent=incumbent, results=results, stopping=stopping)
    raise AssertionError("the last look stops")


def _harms(run: _Run) -> list[tuple[int, Harm]]:
    """Return the evidence for harm in what may be read, each with the number of cases that completes it; last first."""
    readable = run.order[: run.available]
    position = {case_id: number for number, case_id in enumerate(readable, 1)}
    candidate, incumbent = run.candidate.of(readable), run.incumbent.of(readable)
    found = [
        (position[harm.case_id], harm)
        for criterion in run.evaluation.criteria
        for harm in find_harms(criterion, candidate, incumbent, tuple(run.evaluation.suite.categories))
    ]
    return sorted(found, key=lambda each: -each[0])


def _decides(run: _Run, name: str) -> bool:
    return any(is_decisive(each, run.candidate) for each in run.evaluation.criteria if each.name == name)


def _cause(results: Sequence[CriterionResult], candidate: Evidence, *, last: bool) -> StopCause | None:
    """Return why to stop at this look, if so.

    What is measured apart from the trials is the same at every look, and decides at none.
    """
    outcomes = [
        result.outcome for result in results if result.required and candidate.over_trials(result.criterion.metric)
    ]
    if Outcome.FAILED in outcomes:
        return StopCause.HARM
    if outcomes and set(outcomes) == {Outcome.PASSED}:
        return StopCause.SUCCESS
    return StopCause.HORIZON if last else None


def _stopping(cause: StopCause, candidate: Evidence, incumbent: Evidence, *, planned: int) -> Stopping:
    read_ids = tuple(candidate.categories)
    graded = candidate.values(Metric.ACCURACY).keys() & incumbent.values(Metric.ACCURACY).keys()
    return Stopping(
        cause=cause,
        cases=len(read_ids),
        planned=planned,
        families=len({candidate.families[case_id] for case_id in read_ids}),
        excluded=len(read_ids) - len(graded),
    )
