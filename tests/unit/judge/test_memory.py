"""What readings of memory say of one system; one rule a test."""

import msgspec
import pytest

from canary.judge.memory import MemoryReadings, MemoryVerdict, judge_memory, memory_figures
from gateway.contracts.evaluations import Outcome

MIB = 1024**2
Z_95 = 1.6448536269514722
SOUND = MemoryReadings(
    steady_bytes=(100 * MIB, 101 * MIB),
    peak_bytes=(200 * MIB, 190 * MIB),
    at_context=((1000, 110 * MIB), (2000, 120 * MIB), (4000, 140 * MIB)),
    after_request=(102 * MIB,) * 50,
    swap_before_bytes=5,
    swap_after_bytes=5,
)


def verdict(limit_bytes: int = 256 * MIB, **changes: object) -> MemoryVerdict:
    return judge_memory(memory_figures(msgspec.structs.replace(SOUND, **changes), z=Z_95), limit_bytes=limit_bytes)


def test_figures_are_the_worst_readings_and_the_slopes() -> None:
    figures = memory_figures(SOUND, z=Z_95)
    assert (figures.steady_bytes, figures.peak_bytes) == (101 * MIB, 200 * MIB)
    assert figures.slope_bytes_per_token == pytest.approx(MIB / 100)
    assert figures.leak_bytes_per_request == pytest.approx(0)
    assert verdict() == MemoryVerdict(outcome=Outcome.PASSED, reasons=())


def test_a_peak_above_the_limit_fails() -> None:
    assert verdict(limit_bytes=200 * MIB).outcome is Outcome.PASSED
    assert verdict(limit_bytes=200 * MIB - 1).outcome is Outcome.FAILED


def test_any_growth_of_swap_fails_and_a_shrinking_one_does_not() -> None:
    assert verdict(swap_after_bytes=6).reasons == ("swap grew by 1 bytes",)
    assert verdict(swap_after_bytes=0).outcome is Outcome.PASSED


def test_what_each_request_leaves_behind_fails() -> None:
    leaking = tuple(100 * MIB + number * 100 * 1024 for number in range(50))
    assert verdict(after_request=leaking).outcome is Outcome.FAILED


def test_noise_is_no_leak() -> None:
    noisy = tuple(100 * MIB + (number * 7919 % 13) * MIB for number in range(50))
    assert verdict(after_request=noisy).outcome is Outcome.PASSED


def test_what_was_not_measured_is_inconclusive() -> None:
    assert verdict(peak_bytes=()).reasons == ("no peak was measured",)
    assert verdict(after_request=(MIB,) * 5).reasons == ("no leak was measured",)
    assert verdict(peak_bytes=(), swap_after_bytes=99).outcome is Outcome.FAILED
