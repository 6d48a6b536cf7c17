from collections.abc import Callable

import pytest

from gateway.engine.prefill_pace import PrefillPace

FULL = 512


def _settled(decode_s: float, chunk_s: Callable[[int], float], *, steps: int = 100) -> int:
    """Run a machine of that speed, a prompt in every other step, and return the budget that it settles at."""
    pace = PrefillPace(FULL)
    for _ in range(steps):
        pace.observe(duration_s=decode_s, streams=8, prefill_tokens=0)
        tokens = pace.budget_tokens(streams=8)
        pace.observe(duration_s=decode_s + chunk_s(tokens), streams=8, prefill_tokens=tokens)
    return pace.budget_tokens(streams=8)


def _at(tokens: int) -> PrefillPace:
    """Return a pace that has settled at that budget, where a decode step takes 100 ms."""
    pace = PrefillPace(FULL)
    for _ in range(20):
        pace.observe(duration_s=0.100, streams=8, prefill_tokens=0)
        budget = pace.budget_tokens(streams=8)
        pace.observe(duration_s=0.100 + 0.040 * budget / (tokens + 0.5), streams=8, prefill_tokens=budget)
    pace.observe(duration_s=0.100, streams=8, prefill_tokens=0)
    assert pace.budget_tokens(streams=8) == tokens
    return pace


def test_without_streams_a_chunk_is_full() -> None:
    assert PrefillPace(FULL).budget_tokens(streams=0) == FULL


def test_before_anything_is_known_a_step_is_measured_and_a_chunk_is_small() -> None:
    pace = PrefillPace(FULL)
    assert pace.budget_tokens(streams=1) == 0
    pace.observe(duration_s=0.1, streams=1, prefill_tokens=0)
    assert pace.budget_tokens(streams=1) == 16
    pace = PrefillPace(8)
    pace.observe(duration_s=0.1, streams=1, prefill_tokens=0)
    assert pace.budget_tokens(streams=1) == 8


def test_a_chunk_takes_two_fifths_of_a_decode_step() -> None:
    assert _settled(0.100, lambda tokens: 0.001 * tokens) == pytest.approx(40, abs=3)
    assert _settled(0.100, lambda tokens: 0.020 + 0.001 * tokens) == pytest.approx(20, abs=3)


def test_a_chunk_is_never_below_the_floor_nor_beyond_the_full_one() -> None:
    assert _settled(0.001, lambda tokens: 0.010 * tokens) == 16
    assert _settled(0.060, lambda tokens: 0.100 + 0.001 * tokens) == 16
    assert _settled(10.0, lambda tokens: 0.001 * tokens) == FULL


def test_as_a_context_grows_chunks_shrink_and_take_no_longer() -> None:
    pace = PrefillPace(FULL)
    durations_s: list[float] = []
    context_tokens = 0
    for _ in range(100):
        pace.observe(duration_s=0.1, streams=8, prefill_tokens=0)
        tokens = pace.budget_tokens(streams=8)
        context_tokens += tokens
        durations_s.append((0.001 + context_tokens * 3e-7) * tokens)
        pace.observe(duration_s=0.1 + durations_s[-1], streams=8, prefill_tokens=tokens)
    assert max(durations_s) <= 0.06
    assert pace.budget_tokens(streams=8) < 30


def test_chunks_that_hide_behind_the_decode_step_let_the_next_grow_by_half_only() -> None:
    pace = PrefillPace(FULL)
    pace.observe(duration_s=0.1, streams=8, prefill_tokens=0)
    for _ in range(2):
        pace.observe(duration_s=0.09, streams=8, prefill_tokens=16)
    assert pace.budget_tokens(streams=8) == 24


def test_one_quick_chunk_among_slow_ones_does_not_let_chunks_grow() -> None:
    pace = _at(100)
    for chunk_s in (0.040, 0.005, 0.040, 0.005):
        pace.observe(duration_s=0.100 + chunk_s, streams=8, prefill_tokens=100)
        assert pace.budget_tokens(streams=8) <= 101


def test_one_slow_chunk_does_no_more_than_halve_the_next() -> None:
    pace = _at(100)
    pace.observe(duration_s=9.0, streams=8, prefill_tokens=100)
    assert pace.budget_tokens(streams=8) == 50


def test_one_slow_decode_step_does_not_let_chunks_grow() -> None:
    pace = _at(50)
    pace.observe(duration_s=9.0, streams=8, prefill_tokens=0)
    pace.observe(duration_s=0.1, streams=8, prefill_tokens=0)
    pace.observe(duration_s=0.125 + 0.05, streams=8, prefill_tokens=50)
    assert pace.budget_tokens(streams=8) <= 65


def test_where_more_prompts_wait_than_streams_run_a_chunk_is_larger_by_as_much() -> None:
    pace = _at(50)
    assert pace.budget_tokens(streams=8, prompts=8) == 50
    assert pace.budget_tokens(streams=2, prompts=6) == pytest.approx(150, abs=2)
    assert pace.budget_tokens(streams=1, prompts=64) == FULL
    pace.observe(duration_s=0.100 + 0.120, streams=2, prefill_tokens=150)
    assert pace.budget_tokens(streams=8) == pytest.approx(50, abs=1)


def test_where_a_crowd_waits_a_chunk_is_larger_however_many_streams_run() -> None:
    pace = _at(50)
    assert pace.budget_tokens(streams=64, prompts=8) == 50
    assert pace.budget_tokens(streams=64, prompts=13) == pytest.approx(250, abs=3)
    assert pace.budget_tokens(streams=64, prompts=200) == FULL


def test_the_short_end_of_a_prompt_does_not_shrink_the_next_ones_chunks() -> None:
    pace = _at(100)
    pace.observe(duration_s=0.110, streams=8, prefill_tokens=2)
    assert pace.budget_tokens(streams=8) == 100


def test_prompts_that_are_shorter_than_the_budget_let_it_grow_where_they_are_cheap() -> None:
    pace = _at(20)
    for _ in range(2):
        pace.observe(duration_s=0.101, streams=8, prefill_tokens=12)
    assert pace.budget_tokens(streams=8) == 30


def test_while_prompts_keep_coming_a_step_without_one_is_taken_now_and_then() -> None:
    pace = _at(50)
    budgets: list[int] = []
    for _ in range(80):
        budgets.append(pace.budget_tokens(streams=8))
        # More rows decode than when the pace was set: a step takes three times as long.
        pace.observe(duration_s=0.3 + 0.001 * budgets[-1], streams=8, prefill_tokens=budgets[-1])
    assert 6 <= budgets.count(0) <= 10
    assert budgets[-1] > 50


def test_steps_without_streams_teach_nothing() -> None:
    pace = PrefillPace(FULL)
    pace.observe(duration_s=5.0, streams=0, prefill_tokens=FULL)
    pace.observe(duration_s=5.0, streams=0, prefill_tokens=0)
    pace.observe(duration_s=0.1, streams=1, prefill_tokens=0)
    assert pace.budget_tokens(streams=1) == 16
