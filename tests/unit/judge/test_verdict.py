from hypothesis import given
from hypothesis import strategies as st

from canary.judge.verdict import decide
from gateway.contracts.evaluations import Criterion, CriterionResult, Metric, Outcome, Rule


def _result(name: str, outcome: Outcome, *, required: bool = True) -> CriterionResult:
    criterion = Criterion(name=name, metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.8)
    return CriterionResult(
        criterion=criterion, outcome=outcome, required=required, n=10, observed=0.5, reason="as told"
    )


def test_verdict_is_inconclusive_without_required_results() -> None:
    verdict = decide([_result("a", Outcome.PASSED, required=False)])
    assert (verdict.outcome, verdict.decided_by) == (Outcome.INCONCLUSIVE, ())


def test_verdict_names_all_that_share_the_worst_outcome_in_order() -> None:
    verdict = decide([_result("a", Outcome.FAILED), _result("b", Outcome.PASSED), _result("c", Outcome.FAILED)])
    assert (verdict.outcome, verdict.decided_by) == (Outcome.FAILED, ("a", "c"))


def test_an_advisory_failure_decides_nothing() -> None:
    verdict = decide([_result("a", Outcome.PASSED), _result("b", Outcome.FAILED, required=False)])
    assert (verdict.outcome, verdict.decided_by) == (Outcome.PASSED, ("a",))


def test_outcomes_are_ordered_passed_inconclusive_errored_failed() -> None:
    assert sorted(Outcome, key=lambda outcome: outcome.severity) == [
        Outcome.PASSED,
        Outcome.INCONCLUSIVE,
        Outcome.ERRORED,
        Outcome.FAILED,
    ]


@given(st.lists(st.sampled_from(Outcome), min_size=1))
def test_verdict_is_the_worst_wherever_it_stands(outcomes: list[Outcome]) -> None:
    results = [_result(str(position), outcome) for position, outcome in enumerate(outcomes)]
    assert decide(results).outcome.severity == max(outcome.severity for outcome in outcomes)
