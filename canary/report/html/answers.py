"""Cases with what each system answered, and two answers word by word."""

import difflib
import re
from collections.abc import Iterator, Sequence

import msgspec

from canary.judge.evidence import Evidence, collect_evidence
from canary.report.escaping import cut
from canary.report.systems import Contestant
from gateway.contracts.evaluations import CaseRef, Completion, Evaluation, Grade, Metric, Trial, Ungraded

_MAX_PARTS = 400
"""Words, blanks and signs of one answer. Of longer ones it takes too long to find what two share: they get no marks."""


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """A run of an answer's text."""

    text: str
    is_other: bool
    """Whether the answer beside it has something else here."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What one system made of a case."""

    label: str
    text: str
    mark: str
    """`right`, `wrong`, `in part`, `ungraded`, `error`, `not tried`."""
    grade: str
    reason: str


class AnsweredCase(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    category: str
    prompt: str
    expectation: str
    answers: tuple[Answered, ...]
    """In the order of the systems."""
    kinds: tuple[str, ...]
    """What a reader may filter by."""


def answered_cases(evaluation: Evaluation, entered: Sequence[Contestant]) -> Iterator[AnsweredCase]:
    """Yield all cases, in the order of the suite."""
    evidence = collect_evidence(evaluation)
    grades = [each.values(Metric.ACCURACY) for each in evidence]
    for case in evaluation.cases:
        answers = tuple(_answered(each.label, found, case) for each, found in zip(entered, evidence, strict=True))
        values = [of_system.get(case.id) for of_system in grades]
        yield AnsweredCase(
            id=case.id,
            category=evaluation.suite.categories.get(case.category, case.category),
            prompt=cut(case.prompt),
            expectation=cut(case.expectation),
            answers=answers,
            kinds=tuple(_kinds(values, answers)),
        )


def beside(incumbent: str, candidate: str) -> tuple[tuple[Words, ...], tuple[Words, ...]]:
    """Return both texts in runs, those marked in which they differ."""
    ours, theirs = (re.findall(r"\s+|\w+|[^\w\s]", cut(text)) for text in (incumbent, candidate))
    if max(len(ours), len(theirs)) > _MAX_PARTS:
        return (Words(text="".join(ours), is_other=False),), (Words(text="".join(theirs), is_other=False),)
    left: list[Words] = []
    right: list[Words] = []
    for tag, start, end, other_start, other_end in difflib.SequenceMatcher(
        None, ours, theirs, autojunk=False
    ).get_opcodes():
        for side, words in ((left, ours[start:end]), (right, theirs[other_start:other_end])):
            if words:
                side.append(Words(text="".join(words), is_other=tag != "equal"))
    return tuple(left), tuple(right)


def _answered(label: str, evidence: Evidence, case: CaseRef) -> Answered:
    trial = evidence.trials.get(case.id)
    if trial is None:
        return Answered(label=label, text="", mark="not tried", grade="", reason="")
    if not isinstance(trial.result, Completion):
        reason = cut(trial.result.message)
        return Answered(label=label, text="", mark="error", grade=trial.result.code, reason=reason)
    return Answered(
        label=label,
        text=cut(trial.result.text),
        mark=_mark(trial),
        grade=f"{trial.grade.value:g}" if isinstance(trial.grade, Grade) else "ungraded",
        reason=cut(trial.grade.reason),
    )


def _mark(trial: Trial) -> str:
    match trial.grade:
        case Ungraded():
            return "ungraded"
        case Grade(value=1.0):
            return "right"
        case Grade(value=0.0):
            return "wrong"
        case Grade():
            return "in part"


def _kinds(values: Sequence[float | None], answers: Sequence[Answered]) -> Iterator[str]:
    incumbent, *others = values
    pairs = [(value, incumbent) for value in others if value is not None and incumbent is not None]
    if any(ours < theirs for ours, theirs in pairs):
        yield "lost"
    if any(ours > theirs for ours, theirs in pairs):
        yield "gained"
    if any(value is not None and value < 1 for value in values):
        yield "wrong"
    if any(each.mark in {"error", "ungraded"} for each in answers):
        yield "open"
