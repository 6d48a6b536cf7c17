"""What the trials of one system say: its value of a metric for each case, and what says nothing."""

import math
from collections import Counter
from collections.abc import Sequence

import msgspec

from canary.judge.latency import ONCE_Z, typical_times
from canary.judge.order import family_of
from gateway.contracts.evaluations import (
    Completion,
    ErrorCause,
    Evaluation,
    Grade,
    Metric,
    System,
    Trial,
    TrialError,
    Ungraded,
)
from gateway.contracts.fidelity import GoldenScore
from gateway.contracts.latency import LatencyBlock, TimedAnswer
from gateway.contracts.memory import MemoryRecord


class InconsistentRecord(ValueError):
    """The record contradicts itself, so that nothing may be concluded from it."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One system's trials, by case."""

    system: System
    trials: dict[str, Trial]
    categories: dict[str, str]
    """Category of every case that is read, by case identifier."""
    all_categories: dict[str, str]
    """The same of every case of the run."""
    field_cases: frozenset[str]
    """Cases in which some system's grade measures field access."""
    families: dict[str, str]
    """What each case of the run fails together with, by case identifier."""
    tags: dict[str, tuple[str, ...]]
    """Of every case of the run, by case identifier."""
    blocks: tuple[LatencyBlock, ...] | None
    """In which it was timed apart from its trials; None where its trials' times are what there is."""
    times_z: float = ONCE_Z
    """Standard errors between what was timed apart and its bounds."""
    memory: MemoryRecord | None
    elsewhere: bool
    """Whether the blocks were timed on another machine than the record names."""

    def over_trials(self, metric: Metric) -> bool:
        """Whether the metric is read from the trials, so that each further one tells more of it."""
        return metric.per_trial and not (metric.is_time and self.blocks is not None)

    def has_result(self, case_id: str) -> bool:
        """Whether the case was tried, and the infrastructure did not fail."""
        trial = self.trials.get(case_id)
        return trial is not None and not _is_infrastructure_error(trial)

    def of(self, case_ids: Sequence[str]) -> "Evidence":
        """Return the evidence of some of the cases, in the order given."""
        return msgspec.structs.replace(
            self,
            trials={case_id: self.trials[case_id] for case_id in case_ids if case_id in self.trials},
            categories={case_id: self.categories[case_id] for case_id in case_ids},
        )

    @property
    def lost_count(self) -> int:
        """Cases without a result: infrastructure errors, and trials that are not in the record."""
        return sum(not self.has_result(case_id) for case_id in self.categories)

    @property
    def lost_codes(self) -> list[str]:
        """Codes of the infrastructure errors, each once."""
        results = [self.trials[case_id].result for case_id in self.categories if case_id in self.trials]
        return sorted(
            {
                result.code
                for result in results
                if isinstance(result, TrialError) and result.cause is ErrorCause.INFRASTRUCTURE
            }
        )

    @property
    def lost_ratio(self) -> float:
        return self.lost_count / len(self.categories) if self.categories else 0.0

    @property
    def candidate_error_count(self) -> int:
        """Trials that the variant itself brought down; each scores 0."""
        return sum(1 for trial in self.trials.values() if _is_own_error(trial))

    @property
    def ungraded_count(self) -> int:
        """Completions that the grader declined to judge."""
        return sum(
            1
            for trial in self.trials.values()
            if isinstance(trial.result, Completion) and isinstance(trial.grade, Ungraded)
        )

    def values(self, metric: Metric, category: str | None = None, tag: str | None = None) -> dict[str, float]:
        """Return a per-trial metric by case identifier, in the order of the cases, where it was measured.

        Times that were measured apart are the means of one request at a time, and of all cases that were timed.
        """
        if metric.is_time and self.blocks is not None:
            chosen = self.timed_cases(category, tag)
            return {
                case_id: value
                for case_id, value in typical_times(self.blocks, metric).items()
                if chosen is None or case_id in chosen
            }
        found = {
            case_id: _value(self.trials[case_id], metric, in_field_case=case_id in self.field_cases)
            for case_id, its_category in self.categories.items()
            if case_id in self.trials
            and category in {None, its_category}
            and (tag is None or tag in self.tags[case_id])
        }
        return {case_id: value for case_id, value in found.items() if value is not None}

    def timed_cases(self, category: str | None, tag: str | None) -> frozenset[str] | None:
        """Return which prompts a criterion over times chooses; None for all."""
        if category is None and tag is None:
            return None
        return frozenset(
            case_id
            for case_id, its_category in self.all_categories.items()
            if category in {None, its_category} and (tag is None or tag in self.tags[case_id])
        )


def collect_evidence(evaluation: Evaluation) -> tuple[Evidence, ...]:
    """Return the evidence of each system, in their order.

    An incumbent that is its own candidate has two trials a case under one digest. Which of the two belongs to which
    role is immaterial: the first in the order of execution goes to the incumbent.

    Raises InconsistentRecord where there is no system, a trial belongs to no case or system of the run, or a grade lies
    outside [0, 1].
    """
    categories = {case.id: case.category for case in evaluation.cases}
    families = {case.id: family_of(case) for case in evaluation.cases}
    tags = {case.id: case.tags for case in evaluation.cases}
    if not evaluation.systems:
        raise InconsistentRecord("the record has no incumbent")
    if len(categories) != len(evaluation.cases):
        raise InconsistentRecord("two cases of the record have one id")
    expected = Counter(system.variant.digest for system in evaluation.systems)
    by_system: dict[str, list[dict[str, Trial]]] = {digest: [{} for _ in range(n)] for digest, n in expected.items()}
    for trial in sorted(evaluation.trials, key=lambda trial: trial.sequence):
        _place(trial, by_system.get(trial.variant_digest, []), categories)
    field_cases = frozenset(
        trial.case_id
        for trial in evaluation.trials
        if isinstance(trial.grade, Grade) and Metric.FIELD_ACCESS in trial.grade.measures
    )
    latency, host = evaluation.latency, evaluation.environment.host
    memories = {record.system: record for record in evaluation.memory}
    _check_places(evaluation)
    return tuple(
        Evidence(
            system=system,
            trials=by_system[system.variant.digest].pop(0),
            categories=categories,
            all_categories=categories,
            field_cases=field_cases,
            families=families,
            tags=tags,
            blocks=None if latency is None else tuple(each for each in latency.blocks if each.system == position),
            memory=memories.get(position),
            elsewhere=(
                latency is not None
                and host is not None
                and latency.host is not None
                and latency.host != host.start.digest
            ),
        )
        for position, system in enumerate(evaluation.systems)
    )


def _check_places(evaluation: Evaluation) -> None:
    """Raise where a block or a reading is of no system or case of the record."""
    blocks = () if evaluation.latency is None else evaluation.latency.blocks
    places = [*(block.system for block in blocks), *(record.system for record in evaluation.memory)]
    if any(not 0 <= place < len(evaluation.systems) for place in places):
        raise InconsistentRecord("a block of times or a reading of memory is of no system of the record")
    if len({record.system for record in evaluation.memory}) < len(evaluation.memory):
        raise InconsistentRecord("the memory of one system was read twice")
    case_ids = {case.id for case in evaluation.cases}
    if any(answer.case_id not in case_ids for block in blocks for answer in block.answers):
        raise InconsistentRecord("a timed request is of a case that is not in the record")
    _check_fidelity(evaluation)
    if any(not _is_sound(answer) for block in blocks for answer in block.answers):
        raise InconsistentRecord("a timed request has a time that cannot be")


def _check_fidelity(evaluation: Evaluation) -> None:
    """Raise where a measured build is no candidate, was measured twice, or has counts that cannot be."""
    measured = [record.variant_digest for record in evaluation.fidelity]
    candidates = {system.variant.digest for system in evaluation.candidates}
    if len(set(measured)) < len(measured) or not candidates.issuperset(measured):
        raise InconsistentRecord("a measurement of fidelity is of no candidate, or a candidate has two")
    if any(not _can_be(answer) for record in evaluation.fidelity for answer in record.answers):
        raise InconsistentRecord("a golden answer has counts that cannot be")


def _can_be(answer: GoldenScore) -> bool:
    counts = (answer.same_top_count, answer.flip_count, answer.decision_count)
    figures = (answer.kl_nats, answer.candidate_logprob, answer.reference_logprob, answer.base_logprob or 0.0)
    return (
        answer.answer_bytes > 0
        and all(0 <= count <= answer.token_count for count in counts)
        and 0 <= answer.decision_same_top_count <= answer.decision_count
        and all(map(math.isfinite, figures))
    )


def _is_sound(answer: TimedAnswer) -> bool:
    return 0 < answer.time_to_first_token_s <= answer.end_to_end_s < math.inf


def _place(trial: Trial, systems: list[dict[str, Trial]], categories: dict[str, str]) -> None:
    if trial.case_id not in categories:
        raise InconsistentRecord(f"trial {trial.sequence} is of case {trial.case_id!r}, which is not in the record")
    if isinstance(trial.grade, Grade):
        for value in (trial.grade.value, *trial.grade.measures.values()):
            if not 0 <= value <= 1:
                raise InconsistentRecord(f"trial {trial.sequence} has a grade of {value}, outside [0, 1]")
    free = next((trials for trials in systems if trial.case_id not in trials), None)
    if free is None:
        raise InconsistentRecord(
            f"trial {trial.sequence} of case {trial.case_id!r} has no system, or its system has one for that case"
        )
    free[trial.case_id] = trial


def _value(trial: Trial, metric: Metric, *, in_field_case: bool) -> float | None:
    if metric is Metric.ACCURACY or metric is Metric.FIELD_ACCESS:
        return _graded_value(trial, metric, in_field_case=in_field_case)
    if not isinstance(trial.result, Completion):
        return None
    if not metric.is_time:
        raise InconsistentRecord(f"{metric} is not measured by a trial")
    if metric is Metric.TIME_TO_FIRST_TOKEN_S:
        return trial.result.time_to_first_token_s
    if metric is Metric.TIME_PER_OUTPUT_TOKEN_S:
        further = trial.result.completion_tokens - 1
        decoding_s = trial.result.generation_time_s - trial.result.time_to_first_token_s
        return decoding_s / further if further > 0 else None
    return trial.result.generation_time_s


def _graded_value(trial: Trial, metric: Metric, *, in_field_case: bool) -> float | None:
    if _is_infrastructure_error(trial):
        return None
    if _is_own_error(trial):
        return 0.0 if metric is Metric.ACCURACY or in_field_case else None
    if not isinstance(trial.grade, Grade):
        return None
    return trial.grade.value if metric is Metric.ACCURACY else trial.grade.measures.get(metric)


def _is_infrastructure_error(trial: Trial) -> bool:
    return isinstance(trial.result, TrialError) and trial.result.cause is ErrorCause.INFRASTRUCTURE


def _is_own_error(trial: Trial) -> bool:
    return isinstance(trial.result, TrialError) and trial.result.cause is ErrorCause.CANDIDATE
