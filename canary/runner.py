"""Run the trials of an evaluation: incumbent and candidates back to back on each case, in a seeded order."""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from threading import Event
from typing import TypeVar

import msgspec
import numpy as np

from canary.client import GatewayClient
from canary.judge import case_order
from canary.side_by_side import Workers
from canary.suite import Case, Suite
from canary.trial_log import Place, TrialLog, Tried
from gateway.contracts.admin import EngineView
from gateway.contracts.chat import ChatRequest, FinishReason, StreamOptions
from gateway.contracts.evaluations import Completion, ErrorCause, Grade, System, Trial, TrialError, Ungraded
from gateway.contracts.scheduling import SchedulingClass

T = TypeVar("T")

_MOST_AT_ONCE = 16
_LOOK_EVERY_S = 1.0


class PlannedTrial(msgspec.Struct, frozen=True, kw_only=True):
    case: Case
    system: System
    position: int
    """Of the system in the record: an incumbent that is its own candidate is two systems of one variant."""

    @property
    def place(self) -> Place:
        return self.position, self.case.id

    def trial(self, tried: Tried, *, sequence: int) -> Trial:
        """Return what came of it, in its place in the record."""
        return Trial(
            sequence=sequence,
            case_id=self.case.id,
            variant_digest=self.system.variant.digest,
            result=tried.result,
            grade=tried.grade,
            run_in=tried.run_in,
        )


OnTrial = Callable[[Trial, int], None]
"""Called after each trial with it and the number of all that are planned."""
Settled = Callable[[Sequence[Trial]], Collection[int]]
"""Asked after each case with all trials so far: the positions of the systems that need no further one."""


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
    places = list(enumerate(systems))
    return tuple(
        PlannedTrial(case=case, system=system, position=position)
        for case in ordered
        for position, system in _shuffled(places, generator)
    )


class Trier:
    """Has the gateway run a trial, unless there is one already: of this run before it was killed, or an earlier one."""

    def __init__(
        self,
        gateway: GatewayClient,
        suite: Suite,
        *,
        model: str,
        earlier: Mapping[Place, Tried] | None = None,
        log: TrialLog | None = None,
    ) -> None:
        self._gateway = gateway
        self._suite = suite
        self._model = model
        self._log = log
        self._there = {**(earlier or {}), **(log.kept if log is not None else {})}

    def has(self, planned: PlannedTrial) -> bool:
        return planned.place in self._there

    def trial(self, planned: PlannedTrial, given_up: Event | None = None) -> Tried:
        """Return what came of it. Where `given_up` is set meanwhile, raise GaveUp."""
        if (tried := self._there.get(planned.place)) is not None:
            return tried
        result = self.answer(planned, given_up)
        tried = Tried(result=result, grade=grade_result(result, planned.case))
        if self._log is not None:
            self._log.keep(planned.place, tried)
        return tried

    def answer(self, planned: PlannedTrial, given_up: Event | None = None) -> Completion | TrialError:
        request = _request_for(planned.case, self._suite, self._model)
        prefix_cache = self._suite.manifest.protocol.prefix_cache
        return self._gateway.complete(request, planned.system.variant, prefix_cache=prefix_cache, given_up=given_up)

    def forget(self) -> None:
        """Remove the log: the run is recorded."""
        if self._log is not None:
            self._log.remove()

    def warm_up(self, plan: Sequence[PlannedTrial]) -> None:
        """Ask each system what it is asked first, as often as the suite says, and forget the answers and the errors."""
        first = {planned.system.variant.digest: planned for planned in reversed(plan)}
        for planned in first.values():
            for _ in range(self._suite.manifest.protocol.warm_up_count):
                self.answer(planned)


class Pace:
    """How many trials may be in flight: one, as long as a request of production waits for a row."""

    def __init__(self, gateway: GatewayClient, at_once: int) -> None:
        self.at_once = at_once
        self._gateway = gateway
        self._looked_s = -_LOOK_EVERY_S
        self._waits = False

    def allowed(self) -> int:
        if self.at_once > 1 and time.monotonic() - self._looked_s >= _LOOK_EVERY_S:
            queued = self._gateway.status().queued
            self._waits = any(count for of, count in queued.items() if of != SchedulingClass.EVALUATION)
            self._looked_s = time.monotonic()
        return 1 if self._waits else self.at_once


def trials_at_once(suite: Suite, systems: Sequence[System], engines: Sequence[EngineView]) -> int:
    """Return how many trials to keep in flight.

    Under profile `seed` it is one, whose time counts. Else what the engines' rows take that the gateway leaves to
    evaluations: more would wait there.
    """
    if suite.manifest.profile == "seed":
        return 1
    digests = {system.variant.engine.digest for system in systems}
    rows = sum(max(engine.max_rows // 2, 1) for engine in engines if engine.engine_digest in digests)
    return min(max(rows, 1), _MOST_AT_ONCE)


def run_trials(
    trier: Trier,
    plan: Sequence[PlannedTrial],
    *,
    on_trial: OnTrial,
    settled: Settled = lambda _: (),
    pace: Pace | None = None,
) -> Iterator[Trial]:
    """Run the plan, without the trials of systems that are settled; yield the trials in its order, numbered in it.

    As many as `pace` allows are in flight, none of them far ahead of the first that has not ended. What was begun
    before its system was settled is left out.
    """
    trials: list[Trial] = []
    over: Collection[int] = ()
    at_once = pace.at_once if pace is not None else 1
    positions = {planned.position for planned in plan}
    upcoming = iter(plan)
    ahead: deque[Future[Tried] | None] = deque()
    """Of the next of the plan; None where its system was settled already."""
    with Workers[Tried](at_once) as workers:

        def look_ahead() -> None:
            allowed = pace.allowed() if pace is not None else 1
            # Twice as many, so that nobody idles behind one long answer.
            most = 1 if allowed == 1 else 2 * allowed
            while len(ahead) < most and (planned := next(upcoming, None)) is not None:
                ahead.append(None if planned.position in over else workers.submit(begun(planned)))

        def begun(planned: PlannedTrial) -> Callable[[], Tried]:
            return lambda: trier.trial(planned, workers.given_up)

        look_ahead()
        for number, planned in enumerate(plan):
            future = ahead.popleft()
            if future is not None and planned.position in over:
                future.cancel()
            elif future is not None:
                tried = future.result()
                trial = planned.trial(tried, sequence=len(trials))
                trials.append(trial)
                on_trial(trial, len(plan))
                yield trial
            if number + 1 == len(plan) or plan[number + 1].case.id != planned.case.id:
                over = settled(trials)
            if positions.issubset(over):
                for begun_ahead in filter(None, ahead):
                    begun_ahead.cancel()
                return
            look_ahead()


def grade_result(result: Completion | TrialError, case: Case) -> Grade | Ungraded:
    """Return the grader's word on a whole answer, 0 for what the variant brought about, and nothing for other errors.

    An answer that was cut at the limit of its case is none, whatever it has come to say by then.
    """
    match result:
        case Completion(text=text, finish_reason=finish_reason):
            grade = case.grader.grade(text)
            if finish_reason is FinishReason.LENGTH and isinstance(grade, Grade):
                reason = f"cut off after {case.max_completion_tokens} tokens"
                return Grade(value=0.0, reason=reason, measures=dict.fromkeys(grade.measures, 0.0))
            return grade
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
        chat_template_kwargs=suite.manifest.template_arguments or None,
    )
