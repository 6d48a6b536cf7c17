"""Run the trials of an evaluation: incumbent and candidates back to back on each case, in a seeded order."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec
import numpy as np

from canary.client import GatewayClient
from canary.suite import Case, Suite
from gateway.contracts.chat import ChatRequest, StreamOptions
from gateway.contracts.evaluations import Completion, ErrorCause, Grade, System, Trial, TrialError, Ungraded

T = TypeVar("T")


class PlannedTrial(msgspec.Struct, frozen=True, kw_only=True):
    case: Case
    system: System


OnTrial = Callable[[Trial, int], None]
"""Called after each trial with it and the number of all."""


def plan_trials(suite: Suite, systems: Sequence[System]) -> tuple[PlannedTrial, ...]:
    """Return every case by every system in the order to run them, which the suite's seed alone decides.

    The systems of one case follow each other, so that whatever slows the machine down for a while meets all of them;
    which of them comes first is drawn anew for each case.
    """
    generator = np.random.default_rng(suite.manifest.seed)
    return tuple(
        PlannedTrial(case=case, system=system)
        for case in _shuffled(suite.cases, generator)
        for system in _shuffled(systems, generator)
    )


def run_trials(
    gateway: GatewayClient, plan: Sequence[PlannedTrial], suite: Suite, *, model: str, on_trial: OnTrial
) -> Iterator[Trial]:
    """Run the plan one trial at a time."""
    for sequence, planned in enumerate(plan):
        result = gateway.complete(_request_for(planned.case, suite, model), planned.system.variant)
        trial = Trial(
            sequence=sequence,
            case_id=planned.case.id,
            variant_digest=planned.system.variant.digest,
            result=result,
            grade=grade_result(result, planned.case),
        )
        on_trial(trial, len(plan))
        yield trial


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


def _request_for(case: Case, suite: Suite, model: str) -> ChatRequest:
    return ChatRequest(
        model=model,
        messages=case.messages,
        stream=True,
        stream_options=StreamOptions(include_usage=True),
        max_completion_tokens=case.max_completion_tokens,
        temperature=suite.manifest.temperature,
        seed=suite.manifest.seed,
    )
