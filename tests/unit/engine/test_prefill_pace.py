from collections.abc import Callable

import pytest

from gateway.engine.prefill_pace import PrefillPace

FULL = 512


def _settled(decode_s: float, chunk_s: Callable[[int], float], *, steps: int = 200, idle_first: bool = True) -> int:
    """Run a machine of that speed, a prompt in every other step, and return the budget that it settles at."""
    pace = PrefillPace(FULL)
    if idle_first:
        pace.observe(duration_s=chunk_s(FULL), streams=0, prefill_tokens=FULL)
    tokens = 0
    for step in range(steps):
        pace.observe(duration_s=decode_s, streams=8, prefill_tokens=0)
        if step:
            tokens = pace.budget_tokens(streams=8)
            pace.observe(duration_s=decode_s + chunk_s(tokens), streams=8, prefill_tokens=tokens)
    return tokens


def test_without_streams_a_chunk_is_full() -> None:
    assert PrefillPace(FULL).budget_tokens(streams=0) == FULL


def test_before_anything_is_known_a_chunk_beside_streams_is_small() -> None:
    assert PrefillPace(FULL).budget_tokens(streams=1) == 16
    assert PrefillPace(8).budget_tokens(streams=1) == 8


@pytest.mark.parametrize("idle_first", [True, False])
def test_a_chunk_takes_half_a_decode_step(idle_first: bool) -> None:
    tokens = _settled(0.100, lambda tokens: 0.001 * tokens, idle_first=idle_first)
    assert tokens == pytest.approx(50, abs=3)


def test_where_a_chunk_costs_much_whatever_its_size_it_takes_twice_that_if_a_decode_step_takes_as_long() -> None:
    """As a mixture of experts: 40 ms to read the weights and 1 ms a token."""
    assert _settled(0.120, lambda tokens: 0.040 + 0.001 * tokens) == pytest.approx(40, abs=4)
    assert _settled(0.060, lambda tokens: 0.040 + 0.001 * tokens) == pytest.approx(20, abs=4)


def test_a_chunk_is_never_below_the_floor_nor_beyond_the_full_one() -> None:
    assert _settled(0.001, lambda tokens: 0.010 * tokens) == 16
    assert _settled(10.0, lambda tokens: 0.001 * tokens) == FULL


def test_as_a_context_grows_a_chunk_shrinks_and_takes_hardly_longer_than_a_decode_step() -> None:
    pace = PrefillPace(FULL)
    pace.observe(duration_s=FULL * 0.001, streams=0, prefill_tokens=FULL)
    durations_s: list[float] = []
    context_tokens = 0
    for _ in range(200):
        pace.observe(duration_s=0.1, streams=8, prefill_tokens=0)
        tokens = pace.budget_tokens(streams=8)
        context_tokens += tokens
        durations_s.append((0.001 + context_tokens * 3e-7) * tokens)
        pace.observe(duration_s=0.1 + durations_s[-1], streams=8, prefill_tokens=tokens)
    assert max(durations_s) <= 0.12


def test_a_chunk_that_hides_behind_the_decode_step_teaches_nothing_wrong() -> None:
    pace = PrefillPace(FULL)
    pace.observe(duration_s=0.1, streams=8, prefill_tokens=0)
    pace.observe(duration_s=0.09, streams=8, prefill_tokens=16)
    assert pace.budget_tokens(streams=8) == 16


def test_more_for_small_chunks_than_for_full_ones_is_noise_and_breaks_nothing() -> None:
    pace = PrefillPace(FULL)
    pace.observe(duration_s=0.01, streams=0, prefill_tokens=FULL)
    pace.observe(duration_s=0.1, streams=8, prefill_tokens=0)
    pace.observe(duration_s=0.5, streams=8, prefill_tokens=16)
    assert 16 <= pace.budget_tokens(streams=8) <= FULL
