from collections.abc import Callable

import pytest

from gateway.engine.prefill_pace import PrefillPace

FULL = 512


def _step(pace: PrefillPace, decode_s: float, tokens: int = 0, chunk_s: float = 0.0, *, streams: int = 8) -> None:
    """Tell the pace of one step."""
    pace.observe(duration_s=decode_s + chunk_s, streams=streams, prefill_tokens=tokens, chunk_s=chunk_s)


def _settled(decode_s: float, chunk_s: Callable[[int], float], *, steps: int = 100) -> int:
    """Run a machine of that speed, a prompt in every other step, and return the budget that it settles at."""
    pace = PrefillPace(FULL)
    for _ in range(steps):
        _step(pace, decode_s)
        tokens = pace.budget_tokens(streams=8)
        _step(pace, decode_s, tokens, chunk_s(tokens))
    return pace.budget_tokens(streams=8)


def _at(tokens: int) -> PrefillPace:
    """Return a pace that has settled at that budget, where a decode step takes 100 ms."""
    pace = PrefillPace(FULL)
    for _ in range(20):
        budget = pace.budget_tokens(streams=8)
        _step(pace, 0.100, budget, 0.040 * budget / (tokens + 0.5))
    assert pace.budget_tokens(streams=8) == tokens
    return pace


def test_without_streams_a_chunk_is_full() -> None:
    assert PrefillPace(FULL).budget_tokens(streams=0) == FULL


def test_before_anything_is_known_a_chunk_is_small() -> None:
    assert PrefillPace(FULL).budget_tokens(streams=1) == 16
    assert PrefillPace(8).budget_tokens(streams=1) == 8


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
        tokens = pace.budget_tokens(streams=8)
        context_tokens += tokens
        durations_s.append((0.001 + context_tokens * 3e-7) * tokens)
        _step(pace, 0.1, tokens, durations_s[-1])
    assert max(durations_s) <= 0.06
    assert pace.budget_tokens(streams=8) < 30


def test_chunks_that_take_no_time_let_the_next_grow_by_half_only() -> None:
    pace = PrefillPace(FULL)
    for _ in range(2):
        _step(pace, 0.1, 16, 0.0)
    assert pace.budget_tokens(streams=8) == 24


def test_one_quick_chunk_among_slow_ones_does_not_let_chunks_grow() -> None:
    pace = _at(100)
    for chunk_s in (0.040, 0.005, 0.040, 0.005):
        _step(pace, 0.100, 100, chunk_s)
        assert pace.budget_tokens(streams=8) <= 101


def test_one_slow_chunk_does_no_more_than_halve_the_next() -> None:
    pace = _at(100)
    _step(pace, 0.1, 100, 9.0)
    assert pace.budget_tokens(streams=8) == 50


def test_one_slow_decode_step_does_not_let_chunks_grow() -> None:
    pace = _at(50)
    _step(pace, 9.0)
    _step(pace, 0.1)
    _step(pace, 0.1, 50, 0.05)
    assert pace.budget_tokens(streams=8) <= 65


def test_the_join_of_a_row_hardly_lets_the_chunk_of_its_own_step_grow() -> None:
    pace = _at(50)
    for _ in range(20):
        _step(pace, 0.1)
        tokens = pace.budget_tokens(streams=8)
        _step(pace, 0.2, tokens, 0.0008 * tokens)
    assert pace.budget_tokens(streams=8) <= 70


def test_where_more_prompts_wait_than_streams_run_a_chunk_is_larger_by_as_much() -> None:
    pace = _at(50)
    assert pace.budget_tokens(streams=8, prompts=8) == 50
    assert pace.budget_tokens(streams=2, prompts=6) == pytest.approx(150, abs=2)
    assert pace.budget_tokens(streams=1, prompts=64) == FULL
    _step(pace, 0.100, 150, 0.120, streams=2)
    assert pace.budget_tokens(streams=8) == pytest.approx(50, abs=1)


def test_where_a_crowd_waits_a_chunk_is_larger_however_many_streams_run() -> None:
    pace = _at(50)
    assert pace.budget_tokens(streams=64, prompts=8) == 50
    assert pace.budget_tokens(streams=64, prompts=13) == pytest.approx(250, abs=3)
    assert pace.budget_tokens(streams=64, prompts=200) == FULL


def test_the_short_end_of_a_prompt_does_not_shrink_the_next_ones_chunks() -> None:
    pace = _at(100)
    _step(pace, 0.1, 2, 0.010)
    assert pace.budget_tokens(streams=8) == 100


def test_prompts_that_are_shorter_than_the_budget_let_it_grow_where_they_are_cheap() -> None:
    pace = _at(20)
    for _ in range(2):
        _step(pace, 0.1, 12, 0.001)
    assert pace.budget_tokens(streams=8) == 30


def test_while_prompts_keep_coming_it_learns_that_a_step_takes_longer() -> None:
    pace = _at(50)
    for _ in range(10):
        tokens = pace.budget_tokens(streams=8)
        _step(pace, 0.3, tokens, 0.0008 * tokens)
    assert pace.budget_tokens(streams=8) == pytest.approx(150, abs=5)


def test_steps_without_streams_teach_nothing() -> None:
    pace = PrefillPace(FULL)
    _step(pace, 1.0, FULL, 4.0, streams=0)
    _step(pace, 5.0, streams=0)
    for _ in range(3):
        _step(pace, 0.1, 16, 0.040)
    assert pace.budget_tokens(streams=1) == 16
