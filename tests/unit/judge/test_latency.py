"""What timed blocks say of two systems; one rule a test."""

import math
from collections.abc import Sequence

import msgspec
import pytest

from canary.judge import Watch, judge
from canary.judge.evidence import InconsistentRecord
from canary.judge.latency import ONCE_Z, latency_doubts, latency_figure, percentile_figure, seconds_of
from gateway.contracts.evaluations import (
    Criterion,
    CriterionResult,
    Evaluation,
    Metric,
    Outcome,
    Profile,
    Role,
    Rule,
    Statistic,
    StopCause,
)
from gateway.contracts.host import HostRecord
from gateway.contracts.latency import LatencyBlock, TimedAnswer
from tests.support.evaluations import make_evaluation, make_host, make_system, serving_one_at_a_time
from tests.support.timed_blocks import abba, answer, block, with_blocks

NO_SLOWER = Criterion(
    name="no_slower", metric=Metric.END_TO_END_S, rule=Rule.NO_WORSE_THAN, statistic=Statistic.RATIO, bound=0.10
)
CEILING = Criterion(name="ceiling", metric=Metric.END_TO_END_S, rule=Rule.AT_MOST, bound=2.0)


def split(blocks: Sequence[LatencyBlock]) -> tuple[list[LatencyBlock], list[LatencyBlock]]:
    return [each for each in blocks if each.system == 1], [each for each in blocks if each.system == 0]


def doubts(blocks: Sequence[LatencyBlock], criterion: Criterion = NO_SLOWER) -> list[str]:
    return list(latency_doubts(criterion, *split(blocks), case_ids=None))


def judged(
    blocks: Sequence[LatencyBlock],
    *criteria: Criterion,
    profile: Profile = "full",
    dequantised: bool = False,
    **of_record: object,
) -> CriterionResult:
    systems = [make_system("a", Role.INCUMBENT), make_system("b", dequantised=dequantised)]
    plain = make_evaluation(
        {"a": [1.0] * 24, "b": [1.0] * 24}, systems=systems, criteria=criteria or (NO_SLOWER,), profile=profile
    )
    (judgement,) = judge(with_blocks(plain, blocks, **of_record))
    return judgement.results[0]


def test_a_ratio_of_pairs_is_found_however_different_the_prompts_are() -> None:
    found = latency_figure(NO_SLOWER, *split(abba(12, slower=1.1)), case_ids=None, z=ONCE_Z)
    assert (found.n, found.families) == (24, 12)
    assert found.value == pytest.approx(0.1, abs=1e-3)
    assert found.low <= 0.1 + 1e-9 <= found.high + 2e-9
    assert found.high - found.low < 0.02


def test_a_candidate_as_fast_passes_one_three_times_as_slow_fails_and_one_at_the_limit_is_open() -> None:
    assert judged(abba(12)).outcome is Outcome.PASSED
    assert judged(abba(12, slower=3.0)).outcome is Outcome.FAILED
    noisy = [msgspec.structs.replace(each, answers=_scaled(each, 1 + 0.1 * (-1) ** each.cycle)) for each in abba(12)]
    at_limit = [
        each if each.system == 0 else msgspec.structs.replace(each, answers=_scaled(each, 1.1)) for each in abba(12)
    ]
    mixed = [*(each for each in at_limit if each.system), *(each for each in noisy if not each.system)]
    result = judged(mixed)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.more_cases is None
    assert "of 12 cycles" in result.reason


def _scaled(each: LatencyBlock, factor: float) -> tuple[TimedAnswer, ...]:
    return tuple(
        msgspec.structs.replace(
            timed,
            end_to_end_s=timed.end_to_end_s * factor,
            time_to_first_token_s=timed.time_to_first_token_s * factor,
        )
        for timed in each.answers
    )


def test_an_open_ratio_says_how_many_more_cycles_would_settle_it() -> None:
    blocks = [
        msgspec.structs.replace(each, answers=_scaled(each, 1 + 0.1 * (-1) ** each.cycle if each.system else 1.0))
        for each in abba(4)
    ]
    result = judged(blocks, msgspec.structs.replace(NO_SLOWER, bound=0.05))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "fewer than the 10" in result.reason
    result = judged([*blocks, *_later(blocks, 4)], msgspec.structs.replace(NO_SLOWER, bound=0.05))
    assert "more cycles would settle it" in result.reason


def _later(blocks: Sequence[LatencyBlock], cycles: int) -> list[LatencyBlock]:
    return [msgspec.structs.replace(each, cycle=each.cycle + cycles) for each in blocks]


def test_the_time_per_output_token_leaves_out_the_first_and_needs_a_second() -> None:
    timed = answer("a", 1.2)
    assert seconds_of(timed, Metric.TIME_PER_OUTPUT_TOKEN_S) == pytest.approx(0.1)
    alone = msgspec.structs.replace(timed, completion_tokens=1)
    assert seconds_of(alone, Metric.TIME_PER_OUTPUT_TOKEN_S) is None
    assert seconds_of(alone, Metric.TIME_TO_FIRST_TOKEN_S) == pytest.approx(0.2)
    assert seconds_of(alone, Metric.GENERATION_TIME_S) == 1.2


def test_pairs_whose_outputs_differ_in_length_are_left_out_and_many_decide_nothing() -> None:
    blocks = list(abba(12))
    longer = msgspec.structs.replace(blocks[1].answers[0], completion_tokens=12, end_to_end_s=99.0)
    blocks[1] = msgspec.structs.replace(blocks[1], answers=(longer, *blocks[1].answers[1:]))
    assert latency_figure(NO_SLOWER, *split(blocks), case_ids=None, z=ONCE_Z).n == 23
    assert doubts(blocks) == []
    all_longer = [
        each
        if each.system == 0
        else msgspec.structs.replace(
            each, answers=tuple(msgspec.structs.replace(timed, completion_tokens=12) for timed in each.answers)
        )
        for each in abba(12)
    ]
    assert "24 of 24 pairs have outputs of unequal length" in doubts(all_longer)


@pytest.mark.parametrize(("rows", "is_doubted"), [(1.05, False), (1.2, True), (0.8, True)])
def test_batches_of_another_size_are_inconclusive(rows: float, is_doubted: bool) -> None:
    result = judged(abba(12, batch_rows=rows))
    assert ("batches of" in result.reason) is is_doubted
    assert (result.outcome is Outcome.INCONCLUSIVE) is is_doubted


def test_a_batch_size_that_no_engine_tells_is_no_reason_to_doubt() -> None:
    assert doubts(abba(12, batch_rows=None)) == []


@pytest.mark.parametrize(("requests", "is_doubted"), [(0, False), (1, False), (2, True)])
def test_production_in_a_block_is_inconclusive_for_levels_and_ratios(requests: int, is_doubted: bool) -> None:
    for criterion in (NO_SLOWER, CEILING):
        result = judged(abba(12, production_requests=requests), criterion)
        assert (result.outcome is Outcome.INCONCLUSIVE) is is_doubted
        assert (f"{requests} production requests ran in one block" in result.reason) is is_doubted


def test_production_beside_the_incumbent_does_not_matter_to_the_candidates_level() -> None:
    blocks = [msgspec.structs.replace(each, production_requests=0 if each.system else 5) for each in abba(12)]
    assert judged(blocks, CEILING).outcome is Outcome.PASSED
    assert judged(blocks, NO_SLOWER).outcome is Outcome.INCONCLUSIVE


def test_a_prompt_cache_that_one_arm_had_is_inconclusive() -> None:
    blocks = [
        msgspec.structs.replace(
            each, answers=tuple(msgspec.structs.replace(timed, cached_tokens=8 * each.system) for timed in each.answers)
        )
        for each in abba(12)
    ]
    assert any("from the cache" in doubt for doubt in doubts(blocks))


def test_requests_that_were_to_run_together_and_did_not_are_inconclusive() -> None:
    at_eight = msgspec.structs.replace(CEILING, concurrency=8)
    assert judged(abba(12, concurrency=8, batch_rows=6.0), at_eight).outcome is Outcome.PASSED
    alone = judged(abba(12, concurrency=8, batch_rows=1.0), at_eight)
    assert alone.outcome is Outcome.INCONCLUSIVE
    assert "8 requests were kept in flight, and 1.0 ran together" in alone.reason


def test_one_cycle_bounds_nothing() -> None:
    blocks = [msgspec.structs.replace(each, cycle=0) for each in abba(12)]
    found = latency_figure(NO_SLOWER, *split(blocks), case_ids=None, z=ONCE_Z)
    assert found.value is not None
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert any("what drifted" in doubt for doubt in doubts(blocks))


def test_each_concurrency_is_a_figure_of_its_own() -> None:
    blocks = [*abba(12), *(msgspec.structs.replace(each, concurrency=4) for each in abba(12, slower=3.0))]
    assert judged(blocks, NO_SLOWER).outcome is Outcome.PASSED
    at_four = msgspec.structs.replace(NO_SLOWER, concurrency=4)
    assert "4 requests were kept" in judged(blocks, at_four).reason
    together = [msgspec.structs.replace(each, batch_rows=float(each.concurrency)) for each in blocks]
    assert judged(together, at_four).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("alone", "rule", "outcome"),
    [
        (Role.CANDIDATE, Rule.AT_MOST, Outcome.INCONCLUSIVE),
        (Role.CANDIDATE, Rule.NO_WORSE_THAN, Outcome.INCONCLUSIVE),
        (Role.INCUMBENT, Rule.NO_WORSE_THAN, Outcome.INCONCLUSIVE),
        (Role.INCUMBENT, Rule.AT_MOST, Outcome.PASSED),
    ],
)
def test_several_at_a_time_are_not_decided_of_an_engine_that_serves_one(
    alone: Role, rule: Rule, outcome: Outcome
) -> None:
    at_four = msgspec.structs.replace(NO_SLOWER if rule is Rule.NO_WORSE_THAN else CEILING, concurrency=4)
    systems = [make_system("a", Role.INCUMBENT), make_system("b")]
    changed = [serving_one_at_a_time(system) if system.role is alone else system for system in systems]
    plain = make_evaluation({"a": [1.0] * 24, "b": [1.0] * 24}, systems=changed, criteria=[at_four, NO_SLOWER])
    together = [
        msgspec.structs.replace(each, concurrency=4, batch_rows=4.0)
        for each in abba(12)
        if not changed[each.system].variant.engine.one_at_a_time
    ]
    at_many, at_one = judge(with_blocks(plain, [*abba(12), *together]))[0].results
    assert at_many.outcome is outcome
    assert (f"the engine of the {alone} serves one request at a time" in at_many.reason) is (
        outcome is not Outcome.PASSED
    )
    assert at_one.outcome is Outcome.PASSED


def test_a_category_and_a_tag_choose_the_prompts() -> None:
    plain = make_evaluation(
        {"a": [1.0] * 24, "b": [1.0] * 24},
        categories=["slow"] * 12 + ["fast"] * 12,
        criteria=[
            msgspec.structs.replace(CEILING, name="slow", category="slow", bound=1.2),
            msgspec.structs.replace(CEILING, name="tagged", tag="last", bound=1.2),
        ],
    )
    cases = tuple(
        msgspec.structs.replace(case, tags=("last",) if number > 20 else ()) for number, case in enumerate(plain.cases)
    )
    timed = with_blocks(msgspec.structs.replace(plain, cases=cases, min_pairs=1), abba(12))
    by_name = {each.criterion.name: each for each in judge(timed)[0].results}
    assert by_name["slow"].outcome is Outcome.PASSED
    assert by_name["slow"].observed == pytest.approx(1.0 + 0.01 * 5.5, rel=0.01)
    assert by_name["tagged"].outcome is Outcome.FAILED


def test_a_percentile_has_a_bound_only_where_there_are_enough_prompts() -> None:
    few, enough = percentile_figure(range(62), 0.95, ONCE_Z), percentile_figure(range(63), 0.95, ONCE_Z)
    assert (few.high, enough.high) == (math.inf, 62)
    assert (few.value, percentile_figure([], 0.95, ONCE_Z).value) == (58, None)


def test_a_prompt_counts_once_in_a_percentile_however_often_it_was_timed() -> None:
    p50 = msgspec.structs.replace(CEILING, statistic=Statistic.P50)
    assert judged(abba(40, cases=5), p50).n == 5


def test_what_the_candidate_brings_down_fails_and_what_others_do_is_errored() -> None:
    broken = judged(abba(12, candidate_errors=("engine_crashed",)))
    assert broken.outcome is Outcome.FAILED
    assert "brought down 24 of its timed requests (engine_crashed)" in broken.reason
    assert judged(abba(12, infrastructure_errors=("queue_full",))).outcome is Outcome.ERRORED
    blocks = list(abba(12))
    blocks[0] = msgspec.structs.replace(blocks[0], infrastructure_errors=("queue_full",))
    assert judged(blocks).outcome is Outcome.PASSED


def test_times_of_another_machine_than_the_records_say_nothing() -> None:
    plain = make_evaluation({"a": [1.0] * 24, "b": [1.0] * 24}, criteria=[NO_SLOWER])
    host = HostRecord(start=make_host(), end=make_host())
    environment = msgspec.structs.replace(plain.environment, host=host)
    here = msgspec.structs.replace(plain, environment=environment)
    same = judge(with_blocks(here, abba(12), host=make_host().digest))[0].results[0]
    other = judge(with_blocks(here, abba(12), host=make_host(chip="another").digest))[0].results[0]
    assert same.outcome is Outcome.PASSED
    assert other.outcome is Outcome.INCONCLUSIVE
    assert "another machine" in other.reason


def test_nothing_timed_is_inconclusive_and_the_trials_are_not_asked_in_its_place() -> None:
    result = judged((), CEILING)
    assert (result.outcome, result.n) == (Outcome.INCONCLUSIVE, 0)


def test_times_of_a_dequantised_candidate_are_advisory() -> None:
    result = judged(abba(12, slower=3.0), dequantised=True)
    assert (result.outcome, result.required) == (Outcome.FAILED, False)
    assert "not comparable: dequantised" in result.reason


def test_figures_decide_under_profile_seed_unless_nothing_follows_from_them() -> None:
    assert judged(abba(12, slower=1.09), profile="seed").outcome is Outcome.PASSED
    assert judged(abba(12, slower=1.2), profile="seed").outcome is Outcome.FAILED
    assert judged(abba(12, production_requests=9), profile="seed").outcome is Outcome.INCONCLUSIVE


def run_of(blocks: Sequence[LatencyBlock] | None) -> Evaluation:
    floor = Criterion(name="accuracy", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.5)
    plain = make_evaluation(
        {"a": [1.0] * 100, "b": [1.0] * 100}, criteria=[floor, CEILING], profile="full", times_s={"b": [9.0] * 100}
    )
    return plain if blocks is None else with_blocks(plain, blocks)


def test_a_run_stops_where_it_would_whatever_its_times_come_to_later() -> None:
    assert Watch().stopped(run_of(())) == (True,)
    for blocks in ((), abba(12), abba(12, slower=5.0)):
        (judgement,) = judge(run_of(blocks))
        assert judgement.stopping is not None
        assert (judgement.stopping.cause, judgement.stopping.cases) == (StopCause.SUCCESS, 25)
    assert judge(run_of(abba(12)))[0].verdict.outcome is Outcome.PASSED
    assert judge(run_of(abba(12, slower=5.0)))[0].verdict.decided_by == ("ceiling",)


def test_a_record_without_blocks_of_times_reads_them_from_its_trials() -> None:
    assert judge(run_of(None))[0].verdict.decided_by == ("ceiling",)


@pytest.mark.parametrize(
    "wrong",
    [
        block(2, 0, [answer("case-000", 1.0)]),
        block(1, 0, [answer("no-such-case", 1.0)]),
        block(1, 0, [answer("case-000", math.inf)]),
        block(1, 0, [answer("case-000", 1.0, time_to_first_token_s=2.0)]),
        block(1, 0, [answer("case-000", 1.0, time_to_first_token_s=0.0)]),
    ],
    ids=["system", "case", "infinite", "first after last", "no time"],
)
def test_a_block_that_cannot_be_makes_the_record_contradict_itself(wrong: LatencyBlock) -> None:
    with pytest.raises(InconsistentRecord):
        judge(run_of((wrong,)))
