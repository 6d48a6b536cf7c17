"""The cases on which a candidate and the incumbent differ: what a person reads before they trust a verdict."""

from collections.abc import Iterator

import msgspec

from canary.judge.evidence import Evidence, collect_evidence
from canary.report.systems import Contestant
from gateway.contracts.evaluations import Completion, Evaluation, Grade, Metric, Trial


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    """The completion, or the error in its place."""
    grade: float
    reason: str


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    case_id: str
    category: str
    prompt: str
    expectation: str
    incumbent: Answer
    candidate: Answer


class FlippedCases(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate's flips, in the order of the cases."""

    label: str
    lost: tuple[Flip, ...]
    """The incumbent did better: where grades are 0 or 1, it was right and the candidate wrong."""
    gained: tuple[Flip, ...]


def flipped_cases(evaluation: Evaluation, candidates: tuple[Contestant, ...]) -> tuple[FlippedCases, ...]:
    """Return the flips of each candidate. A case that one of the two has no grade for is none."""
    incumbent, *evidence = collect_evidence(evaluation)
    found: list[FlippedCases] = []
    for contestant, of_candidate in zip(candidates, evidence, strict=True):
        flips = list(_flips(evaluation, incumbent, of_candidate))
        found.append(
            FlippedCases(
                label=contestant.label,
                lost=tuple(flip for flip in flips if flip.candidate.grade < flip.incumbent.grade),
                gained=tuple(flip for flip in flips if flip.candidate.grade > flip.incumbent.grade),
            )
        )
    return tuple(found)


def _flips(evaluation: Evaluation, incumbent: Evidence, candidate: Evidence) -> Iterator[Flip]:
    before, after = incumbent.values(Metric.ACCURACY), candidate.values(Metric.ACCURACY)
    for case in evaluation.cases:
        if case.id in before and case.id in after and before[case.id] != after[case.id]:
            yield Flip(
                case_id=case.id,
                category=evaluation.suite.categories.get(case.category, case.category),
                prompt=case.prompt,
                expectation=case.expectation,
                incumbent=_answer(incumbent.trials[case.id], before[case.id]),
                candidate=_answer(candidate.trials[case.id], after[case.id]),
            )


def _answer(trial: Trial, grade: float) -> Answer:
    if not isinstance(trial.result, Completion):
        return Answer(text=f"(error {trial.result.code})", grade=grade, reason=trial.result.message)
    reason = trial.grade.reason if isinstance(trial.grade, Grade) else ""
    return Answer(text=trial.result.text, grade=grade, reason=reason)
