"""Say in one sentence each what an Evaluation asks and what it decides."""

from collections.abc import Sequence

import msgspec

from canary.report.systems import Contestant
from gateway.contracts.evaluations import Evaluation, Judgement, Outcome
from gateway.contracts.winner import choose_winner


class Headline(msgspec.Struct, frozen=True, kw_only=True):
    decision: str
    because: str

    @property
    def sentence(self) -> str:
        return f"{self.decision}: {self.because}."


def question(evaluation: Evaluation, entered: Sequence[Contestant]) -> str:
    incumbent, *candidates = entered
    if evaluation.compared_while is not None:
        return f"How does {candidates[0].label} compare with {incumbent.label}?"
    names = " or ".join(each.label for each in candidates)
    return f"May {names} replace {incumbent.label} as {evaluation.model}?"


def headline(evaluation: Evaluation, entered: Sequence[Contestant]) -> Headline:
    """Return what to do, then what was found of each candidate, in their order."""
    incumbent, *candidates = entered
    found = "; ".join(
        f"{candidate.label} {_found(judgement)}"
        for candidate, judgement in zip(candidates, evaluation.judgements, strict=True)
    )
    if evaluation.compared_while is not None:
        return Headline(decision=f"Compared with {incumbent.label}", because=found)
    winner = choose_winner(evaluation)
    chosen = next((each.label for each in candidates if each.system is winner), None)
    return Headline(decision=f"Keep {incumbent.label}" if chosen is None else f"Promote {chosen}", because=found)


def _found(judgement: Judgement) -> str:
    names = judgement.verdict.decided_by
    deciding = ", ".join(names)
    match judgement.verdict.outcome:
        case Outcome.PASSED:
            return "passed its required criterion" if len(names) == 1 else f"passed all {len(names)} required criteria"
        case Outcome.INCONCLUSIVE:
            return f"is inconclusive on {deciding}" if names else "has no required criterion that could decide"
        case Outcome.ERRORED:
            return f"could not be judged on {deciding}"
        case Outcome.FAILED:
            return f"failed on {deciding}"
