"""Who is next: prompts in line, by what is left of them and by what they share."""

import itertools
import time
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import pytest

from gateway.engine.prefill import Chunk, advance
from gateway.engine.prefill_line import PrefillLine
from gateway.engine.prefix_cache import PrefixCache
from gateway.engine.runner import RowSpec
from tests.support.random_llama import row, words


def _line(model: Any, *specs: RowSpec, prefixes: PrefixCache | None = None) -> PrefillLine:
    line = PrefillLine(model, prefixes)
    for spec in specs:
        line.add(spec)
    return line


def _turn(model: Any, line: PrefillLine, budget_tokens: int, *, free_rows: int = 16) -> list[int]:
    """Give the line one chunk and return the rows that it was for; finished ones leave."""
    rows = line.next_rows(budget_tokens, free_rows=free_rows)
    advance(model, rows, budget_tokens, clock=time.perf_counter)
    for one in rows:
        if not one.left_tokens:
            line.leave(one.spec.row)
    return [one.spec.row for one in rows]


def _turns(model: Any, line: PrefillLine, budget_tokens: int) -> Sequence[list[int]]:
    turns: list[list[int]] = []
    while line:
        turns.append(_turn(model, line, budget_tokens))
    return turns


def test_chunks_go_to_the_first_and_to_the_shortest_in_turn(llama: Any) -> None:
    line = _line(llama, row(1, words(141, 1)), row(2, words(61, 2)), row(3, words(21, 3)))
    assert _turns(llama, line, 20) == [[1], [3], [1], [2], [1], [2], [1], [2], [1], [1], [1]]


def test_a_prompt_is_computed_in_pieces_of_one_size(llama: Any) -> None:
    (one,) = _line(llama, row(1, words(38, 1))).next_rows(16, free_rows=1)
    chunks = [advance(llama, [one], one.piece_tokens(16), clock=time.perf_counter) for _ in range(4)]
    assert [chunk.tokens for chunk in chunks] == [13, 12, 12, 0]


@pytest.mark.parametrize("known", [0, 300])
def test_a_prompts_kv_has_room_for_all_of_it_from_the_first_chunk_on(llama: Any, known: int) -> None:
    prefixes = PrefixCache(limit_bytes=10**9)
    prompt = words(1000, 1)
    line = _line(llama, row(1, prompt[: known + 1]), row(2, prompt), prefixes=prefixes)
    if known:
        (first,) = line.next_rows(known, free_rows=1)
        advance(llama, [first], known, clock=time.perf_counter)
        prefixes.keep(first.spec.prompt[:known], first.cache)
    line.leave(1)
    (one,) = line.next_rows(16, free_rows=1)
    assert one.cached_tokens == known
    rooms: set[tuple[int, ...]] = set()
    while one.left_tokens:
        advance(llama, [one], 16, clock=time.perf_counter)
        rooms.add(tuple(layer.keys.shape[2] for layer in one.cache))
    assert rooms == {(999 + 256, 999 + 192)}


@pytest.mark.parametrize("rows", [1, 2])
def test_what_a_chunk_stands_behind_is_no_part_of_its_time(
    llama: Any, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = itertools.count()  # a second passes between two looks
    monkeypatch.setattr(mx, "synchronize", lambda: [next(now_s) for _ in range(100)])
    line = _line(llama, *(row(number, words(11, number)) for number in range(rows)))
    chunk = advance(llama, line.next_rows(40, free_rows=rows), 40, clock=lambda: float(next(now_s)))
    assert chunk == Chunk(10 * rows, 2.0)


def test_prompts_that_one_chunk_finishes_share_it(llama: Any) -> None:
    line = _line(llama, *(row(number, words(11, number)) for number in range(1, 7)))
    assert _turns(llama, line, 40) == [[1, 2, 3, 4], [5, 6]]


def test_prompts_are_padded_to_the_longest_and_share_a_chunk_only_where_that_fits(llama: Any) -> None:
    line = _line(llama, row(1, words(5, 1)), row(2, words(31, 2)), row(3, words(5, 3)))
    assert _turns(llama, line, 40) == [[1, 3], [2]]


def test_urgent_prompts_go_before_others_which_have_one_chunk_in_eight(llama: Any) -> None:
    line = _line(llama, row(1, words(61, 1), urgent=False), row(2, words(201, 2)))
    assert _turns(llama, line, 20) == [[2]] * 7 + [[1]] + [[2]] * 3 + [[1], [1]]


def test_others_take_every_chunk_where_no_urgent_prompt_may_start(llama: Any) -> None:
    line = _line(llama, row(1, words(41, 1), urgent=False))
    assert _turn(llama, line, 20) == [1]
    line.add(row(2, words(41, 2)))
    assert _turn(llama, line, 20, free_rows=0) == [1]


def test_no_more_rows_are_started_than_are_free(llama: Any) -> None:
    line = _line(llama, row(1, words(101, 1)), row(2, words(11, 2)))
    assert _turn(llama, line, 20, free_rows=1) == [1]
    assert _turn(llama, line, 20, free_rows=0) == [1]
    assert _turn(llama, line, 20, free_rows=0) == [1]
    assert _turn(llama, line, 20, free_rows=1) == [2]


def test_a_prompt_waits_for_one_that_computes_most_of_what_it_lacks(llama: Any) -> None:
    shared = words(60, 1)
    rows = [row(number, (*shared, *words(10, number))) for number in (1, 2, 3)]
    prefixes = PrefixCache(limit_bytes=10**6)
    assert _turn(llama, _line(llama, *rows, prefixes=prefixes), 1000) == [1]
    assert _turn(llama, _line(llama, *rows), 1000) == [1, 2, 3]
    apart = [rows[0], row(2, rows[1].prompt, prefix_cache=False), row(3, (*shared[:20], *words(50, 3)))]
    assert _turn(llama, _line(llama, *apart, prefixes=prefixes), 1000) == [1, 2, 3]


def test_what_waits_for_another_does_not_hold_up_who_does_not(llama: Any) -> None:
    shared = words(200, 1)
    prefixes = PrefixCache(limit_bytes=10**6)
    line = _line(llama, row(1, (*shared, 1)), row(2, (*shared, 2)), row(3, words(61, 3)), prefixes=prefixes)
    assert [_turn(llama, line, 20) for _ in range(4)] == [[1], [3], [1], [3]]


def test_a_prompt_of_one_token_needs_no_chunk(llama: Any) -> None:
    line = _line(llama, row(1, (7,)))
    assert _turn(llama, line, 1) == [1]


def test_leaving_returns_what_was_computed(llama: Any) -> None:
    line = _line(llama, row(1, words(50, 1)), row(2, words(50, 2)))
    _turn(llama, line, 20)
    started = line.leave(1)
    assert started is not None
    assert started.done_tokens == 20
    assert line.leave(2) is None
    assert line.leave(3) is None
    assert line.next_rows(20, free_rows=16) == []
