"""What the trials of one system say: its value of a metric for each case, and what says nothing."""

from collections import Counter
from collections.abc import Sequence

import msgspec

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


class InconsistentRecord(ValueError):
    """The record contradicts itself, so that nothing may be concluded from it."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One system's trials, by case."""

    system: System
    trials: dict[str, Trial]
    categories: dict[str, str]
    """Category of every case of the run, by case identifier."""
    field_cases: frozenset[str]
    """Cases in which some system's grade measures field access."""
    families: dict[str, str]
    """What each case of the run fails together with, by case identifier."""

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

    def values(self, metric: Metric, category: str | None = None) -> dict[str, float]:
        """Return a per-trial metric by case identifier, in the order of the cases, where it was measured."""
        found = {
            case_id: _value(self.trials[case_id], metric, in_field_case=case_id in self.field_cases)
            for case_id, its_category in self.categories.items()
            if case_id in self.trials and category in {None, its_category}
        }
        return {case_id: value for case_id, value in found.items() if value is not None}


def collect_evidence(evaluation: Evaluation) -> tuple[Evidence, ...]:
    """Return the evidence of each system, in their order.

    An incumbent that is its own candidate has two trials a case under one digest. Which of the two belongs to which
    role is immaterial: the first in the order of execution goes to the incumbent.

    Raises InconsistentRecord where there is no system, a trial belongs to no case or system of the run, or a grade lies
    outside [0, 1].
    """
    categories = {case.id: case.category for case in evaluation.cases}
    families = {case.id: family_of(case) for case in evaluation.cases}
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
    return tuple(
        Evidence(
            system=system,
            trials=by_system[system.variant.digest].pop(0),
            categories=categories,
            field_cases=field_cases,
            families=families,
        )
        for system in evaluation.systems
    )


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
    if metric is Metric.GENERATION_TIME_S:
        return trial.result.generation_time_s
    if metric is Metric.TIME_TO_FIRST_TOKEN_S:
        return trial.result.time_to_first_token_s
    raise InconsistentRecord(f"{metric} is not measured by a trial")


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
