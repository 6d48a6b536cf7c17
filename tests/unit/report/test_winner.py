"""Of several candidates that passed, the one that is promoted."""

import msgspec

from canary.judge import judge
from gateway.contracts.evaluations import Criterion, Evaluation, Metric, Role, Rule, System
from gateway.contracts.winner import choose_winner, foremost
from tests.support.evaluations import make_evaluation, make_system

FLOOR = (Criterion(name="accuracy", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.5),)


def judged(incumbent: System, *candidates: System, right: dict[str, int]) -> Evaluation:
    systems = (incumbent, *candidates)
    results = {
        system.variant.name: [1.0] * right[system.variant.name] + [0.0] * (10 - right[system.variant.name])
        for system in systems
    }
    evaluation = make_evaluation(results, systems=systems, criteria=FLOOR)
    return msgspec.structs.replace(evaluation, judgements=judge(evaluation))


def incumbent() -> System:
    return make_system("old", Role.INCUMBENT)


def test_the_smallest_in_predicted_memory_wins_over_the_more_accurate() -> None:
    small = make_system("small", predicted_bytes=10, active_bytes=99)
    large = make_system("large", predicted_bytes=20, active_bytes=1)

    assert choose_winner(judged(incumbent(), large, small, right={"old": 9, "large": 10, "small": 6})) is small


def test_of_equal_size_the_more_accurate_wins() -> None:
    first, second = make_system("first", predicted_bytes=10), make_system("second", predicted_bytes=10)

    assert choose_winner(judged(incumbent(), first, second, right={"old": 9, "first": 6, "second": 7})) is second


def test_of_equal_size_and_accuracy_the_first_given_wins() -> None:
    first, second = make_system("first"), make_system("second")

    assert choose_winner(judged(incumbent(), first, second, right={"old": 9, "first": 7, "second": 7})) is first


def test_a_candidate_that_failed_never_wins() -> None:
    failed, passed = make_system("failed", predicted_bytes=1), make_system("passed", predicted_bytes=10)

    assert choose_winner(judged(incumbent(), failed, passed, right={"old": 9, "failed": 4, "passed": 7})) is passed


def test_there_is_no_winner_where_nobody_passed() -> None:
    failed = make_system("failed")

    assert choose_winner(judged(incumbent(), failed, right={"old": 9, "failed": 4})) is None


def test_a_candidate_that_equals_the_incumbent_never_wins() -> None:
    same = make_system("old", Role.CANDIDATE)

    assert choose_winner(judged(incumbent(), same, right={"old": 9})) is None


def test_the_winner_speaks_for_its_evaluation_whoever_was_given_last() -> None:
    failed, passed = make_system("failed"), make_system("passed")
    evaluation = judged(incumbent(), passed, failed, right={"old": 9, "passed": 7, "failed": 4})

    assert foremost(evaluation) is evaluation.judgements[0]


def test_without_a_winner_the_best_outcome_and_then_the_most_accurate_speaks() -> None:
    low, high, lowest = make_system("low"), make_system("high"), make_system("lowest")
    evaluation = judged(incumbent(), low, high, lowest, right={"old": 9, "low": 3, "high": 4, "lowest": 2})

    assert foremost(evaluation) is evaluation.judgements[1]


def test_nobody_speaks_for_an_evaluation_without_candidates() -> None:
    assert foremost(msgspec.structs.replace(judged(incumbent(), right={"old": 9}), judgements=())) is None
