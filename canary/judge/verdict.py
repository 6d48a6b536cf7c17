"""Decide whether a candidate may replace the incumbent."""

from collections.abc import Sequence

from gateway.contracts.evaluations import CriterionResult, Outcome, Verdict, worst
from gateway.contracts.fidelity import FidelityJudgement

FIDELITY = "fidelity"
"""What decided, where a build was rejected before its trials."""


def decide(results: Sequence[CriterionResult], fidelity: FidelityJudgement | None = None) -> Verdict:
    """Return the worst outcome among required results; no required result is no evidence, hence inconclusive.

    A build that fidelity rejects has failed, whatever its trials say.
    """
    if fidelity is not None and fidelity.rejected:
        return Verdict(outcome=Outcome.FAILED, decided_by=(FIDELITY,))
    required = [result for result in results if result.required]
    if not required:
        return Verdict(outcome=Outcome.INCONCLUSIVE, decided_by=())
    outcome = worst([result.outcome for result in required])
    return Verdict(
        outcome=outcome,
        decided_by=tuple(result.criterion.name for result in required if result.outcome is outcome),
    )
