"""Of several candidates that passed, the one that is promoted."""

import msgspec

from canary.judge import judge
from canary.winner import choose_winner
from gateway.contracts.evaluations import Criterion, Evaluation, Metric, Role, Rule, System
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
