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
_ALWAYS = ("Each case ran once on each system. What a second run would answer is not known.",)
_OF_TRIALS = "Times hold for this machine, one request at a time, and whatever else ran on it."
_AT_LOAD = "Memory is of the weights after load. Key-value cache and prompts in flight come on top."


def limits(evaluation: Evaluation, candidates: tuple[Contestant, ...]) -> tuple[str, ...]:
    """Return what is true of every run, then which outcomes of this one its intervals leave open."""
    several = (
        (f"The best of {len(candidates)} candidates looks better than it is: nothing is corrected for the choice.",)
        if len(candidates) > 1
        else ()
    )
    measured = (*_ALWAYS, *_of_times(evaluation), *_of_memory(evaluation), *_of_host(evaluation))
    if evaluation.profile != "seed":
        return (*_BY_BOUNDS, *measured, *several)
    return (*_BY_FIGURES, *measured, *several, *_left_open(evaluation, candidates))


def _of_times(evaluation: Evaluation) -> Iterator[str]:
    record = evaluation.latency
    if record is None:
        yield _OF_TRIALS
    elif not record.blocks:
        yield "No time was measured: no candidate was left to time, or no prompt was answered by all."
    else:
        levels = " and ".join(str(level) for level in sorted({block.concurrency for block in record.blocks}))
        requests = "one request" if levels == "1" else f"{levels} requests"
        yield (
            f"Times hold for this machine, with {requests} at a time, and for answers of {record.output_tokens} "
            "tokens. How long the answers are that a model chooses to give is not judged by them."
        )
        if any(block.batch_rows is None for block in record.blocks):
            yield "How many rows the engines ran in a step is not known of all blocks."


def _of_memory(evaluation: Evaluation) -> Iterator[str]:
    if not evaluation.memory:
        yield _AT_LOAD
        return
    tokens = max(record.context_tokens for record in evaluation.memory)
    yield f"Peak memory is of one request of {tokens:,} tokens. Requests that run together come to more."
    if any(record.swap_before_bytes is None for record in evaluation.memory):
        yield "Whether swap grew is not known: the machine does not tell."


def _of_host(evaluation: Evaluation) -> Iterator[str]:
    host = evaluation.environment.host
    if host is None:
        return
    if host.kept_awake_by is None:
        yield "Nothing kept the machine from sleeping during the run."
    for what, start, end in (
        ("power source", host.start.state.power_source, host.end.state.power_source),
        ("thermal state", host.start.state.thermal_state, host.end.state.thermal_state),
    ):
        if start != end:
            changed = f"from {start or 'unknown'} to {end or 'unknown'}"
            yield f"The {what} changed {changed} during the run, and times may have with it."
    if host.start.digest != host.end.digest:
        yield "The run began on one machine and ended on another, or its limits were changed: nothing compares."


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
