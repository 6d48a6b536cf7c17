"""What readings of memory say of one system; one rule a test."""

import msgspec
import pytest

from canary.judge import InconsistentRecord, judge
from canary.judge.memory import memory_figure
from gateway.contracts.evaluations import Criterion, CriterionResult, Metric, Outcome, Role, Rule, Statistic
from gateway.contracts.memory import ContextReading, MemoryReading, MemoryRecord
from gateway.contracts.suites import MEMORY_CRITERIA
from tests.support.evaluations import make_evaluation, make_system

MIB = 1024**2
GIVEN = {criterion.name: criterion for criterion in MEMORY_CRITERIA}


def reading(active_mib: float, peak_mib: float = 0.0) -> MemoryReading:
    return MemoryReading(
        active_bytes=round(active_mib * MIB),
        cache_bytes=0,
        peak_bytes=round((peak_mib or active_mib) * MIB),
        footprint_bytes=round(2 * active_mib * MIB),
    )


SOUND = MemoryRecord(
    system=1,
    limit_bytes=400 * MIB,
    context_tokens=4000,
    steady=reading(100),
    contexts=tuple(ContextReading(tokens=n, reading=reading(100, 100 + n / 100)) for n in (1000, 2000, 3000, 4000)),
    after_request=(reading(102),) * 50,
    swap_before_bytes=5,
    swap_after_bytes=5,
    load_time_cold_s=3.0,
    load_time_warm_s=1.0,
)


def figure(metric: Metric, **changes: object) -> float | None:
    return memory_figure(msgspec.structs.replace(SOUND, **changes), metric)


def judged(
    criterion: Criterion, read: MemoryRecord = SOUND, *, dequantised: bool = False, **changes: object
) -> CriterionResult:
    systems = [make_system("a", Role.INCUMBENT), make_system("b", dequantised=dequantised)]
    plain = make_evaluation({"a": [1.0] * 12, "b": [1.0] * 12}, systems=systems, criteria=[criterion])
    record = msgspec.structs.replace(read, **changes)
    (judgement,) = judge(msgspec.structs.replace(plain, memory=(record,)))
    return judgement.results[0]


def test_figures_are_the_worst_readings_and_the_slopes() -> None:
    assert figure(Metric.MEMORY_STEADY_BYTES) == 100 * MIB
    assert figure(Metric.MEMORY_PEAK_BYTES) == 140 * MIB
    assert figure(Metric.MEMORY_PEAK_RATIO) == pytest.approx(0.35)
    assert figure(Metric.MEMORY_SLOPE_BYTES_PER_TOKEN) == pytest.approx(MIB / 100)
    assert figure(Metric.MEMORY_LEAK_BYTES_PER_REQUEST) == pytest.approx(0)
    assert figure(Metric.FOOTPRINT_BYTES) == 204 * MIB
    assert figure(Metric.SWAP_GROWTH_BYTES) == 0
    assert (figure(Metric.LOAD_TIME_COLD_S), figure(Metric.LOAD_TIME_WARM_S)) == (3.0, 1.0)


def test_a_peak_near_the_limit_fails_and_one_well_below_passes() -> None:
    assert judged(GIVEN["memory_peak"]).outcome is Outcome.PASSED
    assert judged(GIVEN["memory_peak"], limit_bytes=155 * MIB).outcome is Outcome.FAILED


def test_any_growth_of_swap_fails_and_a_shrinking_one_does_not() -> None:
    grown = judged(GIVEN["swap"], swap_after_bytes=6)
    assert (grown.outcome, grown.observed) == (Outcome.FAILED, 1.0)
    assert judged(GIVEN["swap"], swap_after_bytes=0).outcome is Outcome.PASSED
    assert judged(GIVEN["swap"], swap_before_bytes=None).outcome is Outcome.INCONCLUSIVE


def test_what_each_request_leaves_behind_fails() -> None:
    leaking = tuple(reading(100 + number * 0.1) for number in range(50))
    result = judged(GIVEN["memory_leak"], after_request=leaking)
    assert result.outcome is Outcome.FAILED
    assert result.observed == pytest.approx(0.1 * MIB, rel=0.01)


def test_noise_is_no_leak() -> None:
    noisy = tuple(reading(100 + number * 7919 % 13) for number in range(50))
    assert judged(GIVEN["memory_leak"], after_request=noisy).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("memory_peak", "contexts", ()),
        ("memory_peak", "contexts", SOUND.contexts[:3]),
        ("memory_leak", "after_request", SOUND.after_request[:19]),
    ],
    ids=["no context", "not the declared one", "too few requests"],
)
def test_what_was_not_measured_is_inconclusive(name: str, field: str, value: object) -> None:
    read = msgspec.structs.replace(SOUND, **{field: value})
    result = judged(GIVEN[name], read)
    assert (result.outcome, result.observed) == (Outcome.INCONCLUSIVE, None)
    ended = judged(GIVEN[name], msgspec.structs.replace(read, problem="x: y"))
    assert "because the readings ended early (x: y)" in ended.reason


def test_a_candidate_that_does_not_come_through_its_context_fails() -> None:
    result = judged(GIVEN["memory_peak"], contexts=(), problem="engine_crashed: gone", candidate_failed=True)
    assert result.outcome is Outcome.FAILED
    assert "engine_crashed: gone" in result.reason


def test_memory_of_dequantised_weights_is_advisory_and_load_time_is_not() -> None:
    assert judged(GIVEN["memory_peak"], dequantised=True, limit_bytes=MIB).required is False
    cold = Criterion(name="cold", metric=Metric.LOAD_TIME_COLD_S, rule=Rule.AT_MOST, bound=2.0)
    result = judged(cold, dequantised=True)
    assert (result.required, result.outcome) == (True, Outcome.FAILED)


def test_a_ratio_compares_with_an_incumbent_that_was_measured_too() -> None:
    no_larger = Criterion(
        name="no_larger",
        metric=Metric.MEMORY_PEAK_BYTES,
        rule=Rule.NO_WORSE_THAN,
        statistic=Statistic.RATIO,
        bound=0.05,
    )
    assert judged(no_larger).outcome is Outcome.INCONCLUSIVE
    plain = make_evaluation({"a": [1.0] * 12, "b": [1.0] * 12}, criteria=[no_larger])
    smaller = msgspec.structs.replace(SOUND, system=0, contexts=(SOUND.contexts[0], SOUND.contexts[3]))
    larger = msgspec.structs.replace(
        SOUND, contexts=(*SOUND.contexts, ContextReading(tokens=4000, reading=reading(100, 150)))
    )
    (judgement,) = judge(msgspec.structs.replace(plain, memory=(smaller, larger)))
    assert judgement.results[0].observed == pytest.approx(150 / 140 - 1)
    assert judgement.results[0].outcome is Outcome.FAILED
    assert judgement.comparisons[-1].metric is Metric.LOAD_TIME_WARM_S


@pytest.mark.parametrize("records", [(SOUND, SOUND), (msgspec.structs.replace(SOUND, system=2),)], ids=["two", "none"])
def test_readings_of_one_system_that_is_there_are_what_a_record_may_hold(records: tuple[MemoryRecord, ...]) -> None:
    plain = make_evaluation({"a": [1.0] * 12, "b": [1.0] * 12})
    with pytest.raises(InconsistentRecord):
        judge(msgspec.structs.replace(plain, memory=records))


def test_production_beside_the_readings_is_said() -> None:
    assert "production requests that ran meanwhile: 3" in judged(GIVEN["memory_peak"], production_requests=3).reason
