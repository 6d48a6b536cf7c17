"""What the gate makes of an Evaluation that was judged by evidence and stopped early; one rule a test."""

from datetime import UTC, datetime

import msgspec

from canary.judge import judge
from canary.judge.order import case_order
from gateway.contracts.deployments import Deployment, GatePolicy
from gateway.contracts.evaluations import Criterion, Evaluation, Grade, Metric, Outcome, Rule, Statistic, Trial
from gateway.gate import refusals
from tests.support.evaluations import make_evaluation, make_variant

FLOOR = Criterion(name="accuracy", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.8)
MARGIN = Criterion(name="margin", metric=Metric.ACCURACY, rule=Rule.NO_WORSE_THAN, bound=0.05)
CRITERIA = (FLOOR, MARGIN)
DEPLOYMENT = Deployment(
    model="tutor",
    incumbent=make_variant("a").digest,
    revision=1,
    gate=GatePolicy(suite="smoke", profile="full", criteria=CRITERIA),
)


def stopped_run() -> Evaluation:
    """Return the record of a run that stopped where its rule did: at the second of four looks."""
    whole = make_evaluation({"a": [1.0] * 400, "b": [1.0] * 400}, criteria=CRITERIA, profile="full")
    read = {case.id for case in case_order(whole.cases, whole.seed)[:200]}
    short = msgspec.structs.replace(whole, trials=tuple(each for each in whole.trials if each.case_id in read))
    return msgspec.structs.replace(short, judgements=judge(short))


def reasons(evaluation: Evaluation, deployment: Deployment = DEPLOYMENT) -> tuple[str, ...]:
    now = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    return refusals(evaluation, candidate_digest=make_variant("b").digest, deployment=deployment, now=now)


def wrong(trial: Trial) -> Trial:
    return msgspec.structs.replace(trial, grade=Grade(value=0.0, reason="wrong"))


def test_a_run_that_stopped_by_its_rule_promotes() -> None:
    evaluation = stopped_run()
    assert evaluation.judgements[0].verdict.outcome is Outcome.PASSED
    assert reasons(evaluation) == ()


def test_a_verdict_of_figures_does_not_promote_where_evidence_is_asked_for() -> None:
    by_figures = msgspec.structs.replace(stopped_run(), profile="seed")
    assert any("judged by the profile seed" in reason for reason in reasons(by_figures))


def test_a_run_that_was_cut_before_its_rule_stopped_does_not_promote() -> None:
    evaluation = stopped_run()
    cut = msgspec.structs.replace(evaluation, trials=evaluation.trials[:-40])
    (reason,) = reasons(cut)
    assert "does not follow from the recorded trials" in reason


def test_answers_that_were_changed_before_the_stop_are_noticed() -> None:
    evaluation = stopped_run()
    candidate = make_variant("b").digest
    changed = tuple(wrong(each) if each.variant_digest == candidate else each for each in evaluation.trials[:60])
    forged = msgspec.structs.replace(evaluation, trials=(*changed, *evaluation.trials[60:]))
    (reason,) = reasons(forged)
    assert "does not follow from the recorded trials" in reason


def test_another_seed_is_another_order_and_the_record_does_not_recompute() -> None:
    reseeded = msgspec.structs.replace(stopped_run(), seed=1)
    assert any("does not follow from the recorded trials" in reason for reason in reasons(reseeded))


def test_another_statistic_is_another_rule() -> None:
    weaker = msgspec.structs.replace(FLOOR, statistic=Statistic.UPPER_BOUND)
    evaluation = msgspec.structs.replace(stopped_run(), criteria=(weaker, MARGIN))
    judged = msgspec.structs.replace(evaluation, judgements=judge(evaluation))
    assert any("is another rule than the gate's" in reason for reason in reasons(judged))
