"""Run the trials of an evaluation: incumbent and candidates back to back on each case, in a seeded order."""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

import msgspec
import numpy as np

from canary.client import GatewayClient
from canary.judge import case_order
from canary.suite import Case, Suite
from gateway.contracts.chat import ChatRequest, StreamOptions
from gateway.contracts.evaluations import Completion, ErrorCause, Grade, System, Trial, TrialError, Ungraded

T = TypeVar("T")


class PlannedTrial(msgspec.Struct, frozen=True, kw_only=True):
    case: Case
    system: System


OnTrial = Callable[[Trial, int], None]
"""Called after each trial with it and the number of all that are planned."""
Settled = Callable[[Sequence[Trial]], Collection[System]]
"""Asked after each case with all trials so far: which systems need no further one."""


def plan_trials(suite: Suite, systems: Sequence[System]) -> tuple[PlannedTrial, ...]:
    """Return every case by every system in the order to run them, which the suite's seed alone decides.

    The systems of one case follow each other, so that whatever slows the machine down for a while meets all of them;
    which of them comes first is drawn anew for each case. The order of the cases is the judge's, who reads them in it.
    """
    generator = np.random.default_rng(suite.manifest.seed)
    if suite.manifest.profile == "seed":
        ordered = _shuffled(suite.cases, generator)
    else:
        of_id = {case.id: case for case in suite.cases}
        order = case_order([case.reference() for case in suite.cases], suite.manifest.seed)
        ordered = [of_id[reference.id] for reference in order]
    return tuple(PlannedTrial(case=case, system=system) for case in ordered for system in _shuffled(systems, generator))


def warm_up(gateway: GatewayClient, plan: Sequence[PlannedTrial], suite: Suite, *, model: str) -> None:
    """Ask each system what it is asked first, as often as the suite says, and forget the answers and the errors."""
    first = {planned.system.variant.digest: planned for planned in reversed(plan)}
    for planned in first.values():
        for _ in range(suite.manifest.protocol.warm_up_count):
            _complete(gateway, planned, suite, model)


def run_trials(
    gateway: GatewayClient,
    plan: Sequence[PlannedTrial],
    suite: Suite,
    *,
    model: str,
    on_trial: OnTrial,
    settled: Settled = lambda _: (),
) -> Iterator[Trial]:
    """Run the plan one trial at a time, without those of systems that are settled."""
    trials: list[Trial] = []
    over: Collection[System] = ()
    for _, of_case in itertools.groupby(plan, key=lambda planned: planned.case.id):
        for planned in of_case:
            # By identity: an incumbent that is its own candidate is two systems that are equal but for their role.
            if any(planned.system is system for system in over):
                continue
            result = _complete(gateway, planned, suite, model)
            trial = Trial(
                sequence=len(trials),
                case_id=planned.case.id,
                variant_digest=planned.system.variant.digest,
                result=result,
                grade=grade_result(result, planned.case),
            )
            trials.append(trial)
            on_trial(trial, len(plan))
            yield trial
        over = settled(trials)


def grade_result(result: Completion | TrialError, case: Case) -> Grade | Ungraded:
    """Return the grader's word on a completion, 0 for an error of the variant, and nothing for any other error."""
    match result:
        case Completion(text=text):
            return case.grader.grade(text)
        case TrialError(cause=ErrorCause.CANDIDATE, code=code):
            return Grade(value=0.0, reason=f"no answer: {code}")
        case TrialError(code=code):
            return Ungraded(reason=f"no answer: {code}")


def _shuffled(items: Sequence[T], generator: np.random.Generator) -> list[T]:
    order: list[int] = generator.permutation(len(items)).tolist()
    return [items[position] for position in order]


def _complete(gateway: GatewayClient, planned: PlannedTrial, suite: Suite, model: str) -> Completion | TrialError:
    request = _request_for(planned.case, suite, model)
    return gateway.complete(request, planned.system.variant, prefix_cache=suite.manifest.protocol.prefix_cache)


def _request_for(case: Case, suite: Suite, model: str) -> ChatRequest:
    return ChatRequest(
        model=model,
        messages=case.messages,
        stream=True,
        stream_options=StreamOptions(include_usage=True),
        max_completion_tokens=case.max_completion_tokens,
        temperature=suite.manifest.temperature,
        seed=suite.manifest.seed,
        chat_template_kwargs=suite.manifest.template_arguments or None,
    )
