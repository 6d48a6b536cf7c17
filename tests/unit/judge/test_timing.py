"""When times are looked at: once early, which may end the measurement, and at the end of what was planned."""

from collections.abc import Sequence

import msgspec
import pytest

from canary.judge import judge, times_settled
from canary.judge.latency import FIRST_LOOK_Z, ONCE_Z, first_look, look_z
from gateway.contracts.evaluations import Criterion, CriterionResult, Evaluation, Metric, Outcome, Rule, Statistic
from gateway.contracts.latency import LatencyBlock
from tests.support.evaluations import INFRASTRUCTURE_ERROR, make_evaluation
from tests.support.timed_blocks import abba, with_blocks

NO_SLOWER = Criterion(
    name="no_slower", metric=Metric.END_TO_END_S, rule=Rule.NO_WORSE_THAN, statistic=Statistic.RATIO, bound=0.10
)
AT_FIVE = first_look(12) or 0


def timed(blocks: Sequence[LatencyBlock], *criteria: Criterion, cycles: int | None = 12) -> Evaluation:
    plain = make_evaluation({"a": [1.0] * 24, "b": [1.0] * 24}, criteria=criteria or (NO_SLOWER,), profile="full")
    return with_blocks(plain, blocks, cycles=cycles)


def result(evaluation: Evaluation) -> CriterionResult:
    return judge(evaluation)[0].results[0]


@pytest.mark.parametrize(("planned", "cycles"), [(None, None), (2, None), (5, None), (6, 5), (12, 5), (24, 8)])
def test_the_first_look_is_at_a_third_and_has_cycles_enough(planned: int | None, cycles: int | None) -> None:
    assert first_look(planned) == cycles


@pytest.mark.parametrize(("slower", "outcome"), [(1.0, Outcome.PASSED), (3.0, Outcome.FAILED)])
def test_what_is_plain_is_settled_at_the_first_look(slower: float, outcome: Outcome) -> None:
    first = timed(abba(AT_FIVE, slower=slower))
    assert times_settled(first) == (True,)
    assert (result(first).outcome, result(first).families) == (outcome, AT_FIVE)


def noisy(cycles: int) -> list[LatencyBlock]:
    """Return blocks of a candidate that is slower by 6 %, and in turn faster and slower than that by 3 %."""

    def scaled(block: LatencyBlock) -> LatencyBlock:
        factor = 1.06 * (1 + 0.03 * (-1) ** block.cycle)
        answers = (msgspec.structs.replace(each, end_to_end_s=each.end_to_end_s * factor) for each in block.answers)
        return msgspec.structs.replace(block, answers=tuple(answers)) if block.system else block

    return list(map(scaled, abba(cycles)))


def test_what_is_open_at_the_first_look_is_settled_by_all_that_was_planned() -> None:
    assert times_settled(timed(noisy(AT_FIVE))) == (False,)
    assert result(timed(noisy(AT_FIVE))).outcome is Outcome.INCONCLUSIVE
    whole = result(timed(noisy(12)))
    assert (whole.outcome, whole.families) == (Outcome.PASSED, 12)


def test_a_run_that_ended_between_the_looks_is_held_to_the_stricter_one() -> None:
    assert (look_z(12, abba(7)), look_z(12, abba(12)), look_z(None, abba(7))) == (FIRST_LOOK_Z, ONCE_Z, ONCE_Z)
    assert result(timed(noisy(7))).outcome is Outcome.INCONCLUSIVE
    # The same blocks, where they are said to be all that was to be timed.
    assert result(timed(noisy(7), cycles=None)).outcome is Outcome.PASSED


def test_what_was_timed_beyond_the_look_that_settled_counts_for_nothing() -> None:
    beyond = [block for block in abba(12, slower=3.0) if block.cycle >= AT_FIVE]
    assert judge(timed([*abba(AT_FIVE), *beyond])) == judge(timed(abba(AT_FIVE)))


def test_every_criterion_over_times_must_be_settled_an_advisory_one_too() -> None:
    # The 95th percentile takes more prompts than five cycles have.
    open_ = Criterion(
        name="p95", metric=Metric.END_TO_END_S, rule=Rule.AT_MOST, statistic=Statistic.P95, bound=9.0, required=False
    )
    assert times_settled(timed(abba(AT_FIVE), NO_SLOWER, open_)) == (False,)
    assert times_settled(timed(abba(AT_FIVE, slower=3.0), NO_SLOWER, open_)) == (True,)
    advisory = msgspec.structs.replace(NO_SLOWER, required=False)
    assert times_settled(timed(abba(AT_FIVE, slower=3.0), advisory, open_)) == (False,)
    accuracy = Criterion(name="accuracy", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.8)
    assert times_settled(timed(abba(AT_FIVE), NO_SLOWER, accuracy)) == (True,)
    assert times_settled(timed(abba(AT_FIVE), accuracy)) == (False,)


def test_doubts_and_lost_requests_settle_nothing() -> None:
    assert times_settled(timed(abba(AT_FIVE, production_requests=2))) == (False,)
    lost = [
        msgspec.structs.replace(block, infrastructure_errors=(INFRASTRUCTURE_ERROR.code,)) for block in abba(AT_FIVE)
    ]
    assert times_settled(timed(lost)) == (False,)


def test_profile_seed_takes_all_that_was_planned() -> None:
    seed = msgspec.structs.replace(timed(abba(AT_FIVE)), profile="seed")
    assert times_settled(seed) == (False,)
