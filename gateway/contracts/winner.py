"""Which of an Evaluation's candidates is promoted, and which speaks for it where only one can."""

from gateway.contracts.evaluations import Evaluation, Judgement, Metric, Outcome, System


def choose_winner(evaluation: Evaluation) -> System | None:
    """Return, of those that passed, the smallest in predicted memory; then the most accurate; then the first given.

    A candidate that equals the incumbent never wins.
    """
    passed = [
        (system, judgement)
        for system, judgement in zip(evaluation.candidates, evaluation.judgements, strict=True)
        if judgement.verdict.outcome is Outcome.PASSED and system.variant.digest != evaluation.incumbent.variant.digest
    ]
    # min() takes the first of equals, which is the one given first.
    best = min(passed, key=lambda pair: (pair[0].predicted_bytes, -_accuracy(pair[1])), default=None)
    return None if best is None else best[0]


def foremost(evaluation: Evaluation) -> Judgement | None:
    """Return the winner's judgement; without one, of those with the best outcome the most accurate's."""
    winner = choose_winner(evaluation)
    if winner is not None:
        return evaluation.judgements[evaluation.candidates.index(winner)]
    return min(
        evaluation.judgements,
        key=lambda judgement: (judgement.verdict.outcome.severity, -_accuracy(judgement)),
        default=None,
    )


def _accuracy(judgement: Judgement) -> float:
    overall = next(
        (
            comparison
            for comparison in judgement.comparisons
            if comparison.metric is Metric.ACCURACY and comparison.category is None
        ),
        None,
    )
    return 0.0 if overall is None else overall.candidate.value or 0.0
