"""What an Evaluation does not establish."""

from collections.abc import Iterator

from canary.report.quantities import interval, rule
from canary.report.systems import Contestant
from gateway.contracts.evaluations import CriterionResult, Evaluation, Outcome, Rule

_BY_FIGURES = (
    "Point estimates decide. An outcome may be chance wherever its interval lies on both sides of the bound.",
    "Intervals take the cases as independent. Cases of one kind tend to fail together, so the truth is less certain.",
)
"""Of profile `seed`."""
_BY_BOUNDS = (
    "A candidate that is worse by the margin passes about 1 run in 20: of many that are tried, some pass by chance.",
    "A figure at which a run stopped early is a little further from the bound than the truth, on average.",
    "The matrix gives intervals that take cases as independent. Those of the criteria take families as the units.",
    "What no family of the suite asks is not judged.",
)
_ALWAYS = (
    "Each case ran once on each system. What a second run would answer is not known.",
    "Times hold for this machine, one request at a time, and whatever else ran on it.",
    "Memory is of the weights after load. Key-value cache and prompts in flight come on top.",
)


def limits(evaluation: Evaluation, candidates: tuple[Contestant, ...]) -> tuple[str, ...]:
    """Return what is true of every run, then which outcomes of this one its intervals leave open."""
    several = (
        (f"The best of {len(candidates)} candidates looks better than it is: nothing is corrected for the choice.",)
        if len(candidates) > 1
        else ()
    )
    if evaluation.profile != "seed":
        return (*_BY_BOUNDS, *_ALWAYS, *several)
    return (*_BY_FIGURES, *_ALWAYS, *several, *_left_open(evaluation, candidates))


def _left_open(evaluation: Evaluation, candidates: tuple[Contestant, ...]) -> Iterator[str]:
    for candidate, judgement in zip(candidates, evaluation.judgements, strict=True):
        for result in judgement.results:
            if result.required and result.outcome in {Outcome.PASSED, Outcome.FAILED} and _spans_bound(result):
                spread = interval(
                    result.low,
                    result.high,
                    result.criterion.metric,
                    signed=result.criterion.rule is Rule.NO_WORSE_THAN,
                )
                yield (
                    f"{candidate.label}, {result.criterion.name}: {result.outcome}, but {spread} spans the bound "
                    f"({rule(result.criterion)})."
                )


def _spans_bound(result: CriterionResult) -> bool:
    if result.low is None or result.high is None:
        return False
    criterion = result.criterion
    margin_is_negative = criterion.rule is Rule.NO_WORSE_THAN and criterion.metric.higher_is_better
    bound = -criterion.bound if margin_is_negative else criterion.bound
    return result.low < bound < result.high
