"""Decide whether a candidate may replace the incumbent."""

from collections.abc import Sequence

from gateway.contracts.evaluations import CriterionResult, Outcome, Verdict, worst


def decide(results: Sequence[CriterionResult]) -> Verdict:
    """Return the worst outcome among required results; no required result is no evidence, hence inconclusive."""
    required = [result for result in results if result.required]
    if not required:
        return Verdict(outcome=Outcome.INCONCLUSIVE, decided_by=())
    outcome = worst([result.outcome for result in required])
    return Verdict(
        outcome=outcome,
        decided_by=tuple(result.criterion.name for result in required if result.outcome is outcome),
    )
