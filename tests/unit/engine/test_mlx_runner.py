"""The real runner on a model of two small random layers: what must hold for any weights."""

import itertools
import operator
from typing import Any

import mlx.core as mx
import msgspec
import pytest

from gateway.contracts.chat import FinishReason
from gateway.engine.mlx_runner import MlxRunner
from gateway.engine.prefix_cache import PrefixCache
from gateway.engine.row_plan import RowPlan
from gateway.engine.runner import RowsError, RowSpec, RowToken
from tests.support.random_llama import assert_same_answer, decode, ids, row, words

KV_BYTES_PER_TOKEN = 2 * 2 * 2 * 16 * 4
"""Layers x (keys, values) x heads x head size x float32."""


def _runner(
    model: Any,
    *,
    end_tokens: tuple[int, ...] = (),
    max_rows: int = 16,
    prefill_step_tokens: int = 64,
    weights_in_tokens: int = 1000,
    prefixes: PrefixCache | None = None,
) -> MlxRunner:
    return MlxRunner(
        model,
        end_tokens=end_tokens,
        max_rows=max_rows,
        prefill_step_tokens=prefill_step_tokens,
        step_bytes=weights_in_tokens * KV_BYTES_PER_TOKEN,
        prefixes=prefixes,
    )


_answers: dict[bytes, list[int]] = {}


def _alone(model: Any, spec: RowSpec) -> list[int]:
    """Return the row's answer where nothing runs beside it."""
    key = msgspec.msgpack.encode(msgspec.structs.replace(spec, row=0))
    if key not in _answers:
        _answers[key] = ids(decode(_runner(model), [spec])[spec.row])
    return _answers[key]


def _mixed_rows(count: int) -> list[RowSpec]:
    """Return rows of 1 to 200 tokens of prompt, greedy and seeded in turn."""
    lengths = [3, 150, 1, 40, 90, 7, 200, 25, 60, 2, 120, 33, 80, 15, 180, 50]
    return [
        row(at, words(length, at), **({"temperature": 0.8, "top_p": 0.95, "seed": at} if at % 2 else {}))
        for at, length in enumerate(lengths[:count], start=1)
    ]


# --- numerics ---


@pytest.mark.parametrize("count", [2, 5, 16])
@pytest.mark.parametrize("weights_in_tokens", [0, 10**6], ids=["several buckets", "one bucket"])
def test_rows_decode_together_as_they_do_alone(llama: Any, count: int, weights_in_tokens: int) -> None:
    specs = _mixed_rows(count)
    runner = _runner(llama, weights_in_tokens=weights_in_tokens)
    together = decode(runner, specs[: count // 2 + 1], late=specs[count // 2 + 1 :])
    for spec in specs:
        assert_same_answer(llama, spec, _alone(llama, spec), ids(together[spec.row]))


@pytest.mark.parametrize("prefill_step_tokens", [1, 7, 500])
def test_the_size_of_the_chunks_changes_no_answer(llama: Any, prefill_step_tokens: int) -> None:
    spec = row(1, words(150, 3))
    chunked = decode(_runner(llama, prefill_step_tokens=prefill_step_tokens), [spec])[1]
    assert_same_answer(llama, spec, _alone(llama, spec), ids(chunked))


def test_a_seeded_row_is_reproducible_whatever_runs_beside_it(llama: Any) -> None:
    seeded = row(1, temperature=1.0, seed=11)
    alone = _alone(llama, seeded)
    noise = [row(number, (number, number), temperature=1.0) for number in (2, 3, 4)]
    beside = decode(_runner(llama), [*noise, seeded], late=[row(5, temperature=0.7, top_p=0.9)])
    assert_same_answer(llama, seeded, alone, ids(beside[1]))
    assert _alone(llama, row(1, temperature=1.0, seed=12)) != alone


# --- the prefix cache ---


def test_a_hit_answers_as_a_miss_and_says_what_was_cached(llama: Any) -> None:
    prefixes = PrefixCache(limit_bytes=10**9)
    system = words(100, 1)
    specs = [row(number, (*system, *words(20, number))) for number in range(1, 6)]
    specs += [row(number, spec.prompt, temperature=0.9, seed=number) for number, spec in enumerate(specs, start=6)]
    for spec in specs:
        answer = decode(_runner(llama, prefixes=prefixes), [spec])[spec.row]
        assert_same_answer(llama, spec, _alone(llama, spec), ids(answer))
        expected = 0 if spec.row == 1 else 100 if spec.row < 6 else 119
        assert {token.cached_tokens for token in answer} == {expected}
    assert (prefixes.counts().hits, prefixes.counts().misses) == (9, 1)


def test_the_second_turn_of_a_chat_computes_its_new_tokens_only(llama: Any) -> None:
    runner = _runner(llama, prefixes=PrefixCache(limit_bytes=10**9))
    first = row(1, words(50, 1))
    answer = ids(decode(runner, [first])[1])
    second = row(2, (*first.prompt, *answer, *words(10, 2)))
    token = decode(runner, [second])[2][0]
    assert token.cached_tokens == 50 + 12
    assert_same_answer(llama, second, _alone(llama, second), ids(decode(runner, [row(3, second.prompt)])[3]))


def test_a_prompt_that_is_cached_whole_leaves_its_last_token_to_compute(llama: Any) -> None:
    runner = _runner(llama, prefixes=PrefixCache(limit_bytes=10**9))
    spec = row(1, words(50, 1))
    first = decode(runner, [spec])[1]
    again = decode(runner, [row(2, spec.prompt)])[2]
    assert again[0].cached_tokens == 49
    assert_same_answer(llama, spec, ids(first), ids(again))


def test_rows_that_arrive_together_compute_what_they_share_once(llama: Any) -> None:
    system = words(300, 1)
    specs = [row(number, (*system, *words(10, number))) for number in range(1, 9)]
    prefixes = PrefixCache(limit_bytes=10**9)
    answers = decode(_runner(llama, prefixes=prefixes), specs)
    assert [answers[spec.row][0].cached_tokens for spec in specs] == [0] + [300] * 7
    for spec in specs:
        assert_same_answer(llama, spec, _alone(llama, spec), ids(answers[spec.row]))


def test_a_row_that_turns_the_cache_off_neither_takes_nor_gives(llama: Any) -> None:
    prefixes = PrefixCache(limit_bytes=10**9)
    runner = _runner(llama, prefixes=prefixes)
    off = row(1, words(50, 1), prefix_cache=False)
    decode(runner, [off])
    assert prefixes.counts().held_bytes == 0
    assert decode(runner, [row(2, off.prompt)])[2][0].cached_tokens == 0
    assert decode(runner, [row(3, off.prompt, prefix_cache=False)])[3][0].cached_tokens == 0


def test_what_was_computed_of_a_row_that_is_removed_is_kept(llama: Any) -> None:
    runner = _runner(llama, prefixes=PrefixCache(limit_bytes=10**9))
    spec = row(1, words(200, 1))
    runner.insert(spec)
    runner.step()
    runner.remove(1)
    assert decode(runner, [row(2, spec.prompt)])[2][0].cached_tokens == 64


def test_a_cache_that_fails_costs_nobody_an_answer(
    llama: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    prefixes = PrefixCache(limit_bytes=10**9)
    spec = row(1, words(50, 1))

    def fail(*_: object) -> None:
        raise RuntimeError("[malloc] Unable to allocate")

    monkeypatch.setattr(prefixes, "keep", fail)
    assert len(decode(_runner(llama, prefixes=prefixes), [spec])[1]) == 12
    assert "Unable to allocate" in capfd.readouterr().err


# --- joining and leaving ---


def test_an_end_token_stops_a_row_and_the_limit_cuts_it(llama: Any) -> None:
    free = _alone(llama, row(1))
    assert len(free) == 12
    end = free[5]
    tokens = decode(_runner(llama, end_tokens=(end,)), [row(1)])[1]
    assert ids(tokens) == free[: free.index(end) + 1]
    assert tokens[-1].finish_reason is FinishReason.STOP


def test_more_rows_than_the_limit_wait_and_are_all_answered(llama: Any) -> None:
    specs = [row(number, (number,)) for number in range(1, 6)]
    assert all(len(tokens) == 12 for tokens in decode(_runner(llama, max_rows=2), specs).values())


@pytest.mark.parametrize("steps", range(8))
@pytest.mark.parametrize("prefixes", [None, PrefixCache(limit_bytes=10**9)], ids=["no cache", "cache"])
def test_a_row_may_leave_in_line_in_prefill_or_while_it_decodes(
    llama: Any, steps: int, prefixes: PrefixCache | None
) -> None:
    runner = _runner(llama, prefill_step_tokens=4, prefixes=prefixes)
    expected = _alone(llama, row(1))
    runner.insert(row(1))
    runner.insert(row(2, range(1, 11)))
    tokens = [token for _ in range(steps) for token in runner.step()]
    runner.remove(2)
    runner.remove(2)
    tokens += [token for _ in range(20) for token in runner.step()]
    assert [token.token for token in tokens if token.row == 1] == expected
    assert not [token for token in tokens if token.row == 2 and token.finish_reason]


def test_without_rows_a_step_does_nothing(llama: Any) -> None:
    assert _runner(llama).step() == []


def test_a_row_joins_at_the_next_step_and_its_place_is_free_after_its_last(llama: Any) -> None:
    runner = _runner(llama, max_rows=2)
    runner.insert(row(1, max_tokens=100))
    runner.insert(row(2, max_tokens=2))
    while not any(token.finish_reason for token in runner.step()):
        pass
    runner.insert(row(3))
    steps = 0
    while not any(token.row == 3 for token in runner.step()):
        steps += 1
    assert steps == 1


# --- the pace of prompts ---


class Steps:
    """A clock under which a decode step takes 10 ms and a prompt token 1 ms, as the model is called."""

    def __init__(self, model: Any, *, row_s: float = 0.0, token_s: float = 0.001) -> None:
        """Each row adds `row_s` to a decode step, and each token takes `token_s` in a prompt."""
        self.now_s = 0.0
        self._row_s = row_s
        self._token_s = token_s
        self.chunks: list[int] = []
        self.decode_count = 0
        self._model = model

    def __call__(self, tokens: mx.array, **options: Any) -> mx.array:
        if tokens.shape[1] == 1:
            self.decode_count += 1
            self.now_s += 0.010 + self._row_s * tokens.shape[0]
        else:
            self.chunks.append(tokens.size)
            self.now_s += self._token_s * tokens.size
        return self._model(tokens, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def _clocked(model: Steps, *, prefill_step_tokens: int) -> MlxRunner:
    """Return a runner that goes by the model's clock."""
    return MlxRunner(
        model,  # pyright: ignore[reportArgumentType] - it is called as the model is
        end_tokens=(),
        max_rows=16,
        prefill_step_tokens=prefill_step_tokens,
        step_bytes=10**9,
        prefixes=None,
        clock=lambda: model.now_s,
    )


def test_while_streams_run_a_long_prompt_comes_in_small_chunks_and_each_step_gives_every_stream_a_token(
    llama: Any,
) -> None:
    model = Steps(llama)
    runner = _clocked(model, prefill_step_tokens=512)
    for number in range(1, 9):
        runner.insert(row(number, words(10, number), max_tokens=10_000))
    while len(runner.step()) < 8:
        pass
    model.chunks.clear()
    runner.insert(row(9, words(1000, 9)))
    gaps_s: list[float] = []
    tokens: list[RowToken] = []
    while not any(token.row == 9 for token in tokens):
        before_s = model.now_s
        tokens = list(runner.step())
        assert len(tokens) >= 8
        gaps_s.append(model.now_s - before_s)
    assert sum(model.chunks) == 999
    assert max(gaps_s) <= 2 * (0.010 + 0.001 * model.chunks[-1])
    assert max(model.chunks) <= 16
    assert max(model.chunks) - min(model.chunks) <= 1


def test_a_crowd_beside_few_streams_is_computed_in_few_steps_though_steps_grow_with_its_rows(llama: Any) -> None:
    model = Steps(llama, row_s=0.002, token_s=0.0001)
    runner = _clocked(model, prefill_step_tokens=512)
    for number in range(1, 3):
        runner.insert(row(number, words(36, number), max_tokens=10_000))
    while len(runner.step()) < 2:
        pass
    crowd = set(range(3, 17))
    for number in crowd:
        runner.insert(row(number, words(36, number), max_tokens=10_000))
    steps = 0
    while crowd:
        crowd -= {token.row for token in runner.step()}
        steps += 1
    assert steps <= 12


def test_beside_streams_a_long_prompt_joins_in_a_step_without_a_chunk(llama: Any) -> None:
    model = Steps(llama)
    runner = _clocked(model, prefill_step_tokens=64)
    runner.insert(row(1, words(10, 1), max_tokens=10_000))
    while not runner.step():
        pass
    for number in (2, 3):  # there is always somebody whose chunk could come
        runner.insert(row(number, words(200, number)))
    while True:
        chunks, decodes = len(model.chunks), model.decode_count
        runner.step()
        if model.decode_count - decodes > 1:  # one joins: its last token goes through the model by itself
            break
    assert len(model.chunks) == chunks


def test_without_streams_a_long_prompt_comes_in_full_chunks(llama: Any) -> None:
    model = Steps(llama)
    runner = _clocked(model, prefill_step_tokens=256)
    decode(runner, [row(1, words(1000, 1), max_tokens=1)])
    assert model.chunks == [256, 256, 256, 231]


def test_beside_streams_that_nobody_waits_for_a_prompt_comes_in_full_chunks(llama: Any) -> None:
    model = Steps(llama)
    runner = _clocked(model, prefill_step_tokens=256)
    runner.insert(row(1, words(10, 1), max_tokens=10_000, urgent=False))
    while not runner.step():
        pass
    model.chunks.clear()
    runner.insert(row(2, words(1000, 2)))
    while not any(token.row == 2 for token in runner.step()):
        pass
    assert model.chunks == [256, 256, 256, 231]


def test_a_short_prompt_does_not_wait_behind_a_long_one(llama: Any) -> None:
    runner = _runner(llama, prefill_step_tokens=64)
    runner.insert(row(1, words(2000, 1)))
    runner.step()
    runner.insert(row(2, words(30, 2)))
    steps = 0
    while not any(token.row == 2 for token in runner.step()):
        steps += 1
    assert steps <= 4


def test_a_long_prompt_is_not_starved_by_short_ones(llama: Any) -> None:
    runner = _runner(llama, prefill_step_tokens=64, max_rows=1000)
    runner.insert(row(1, words(640, 1), max_tokens=1))
    numbers = iter(range(2, 1000))
    for _ in range(60):
        runner.insert(row(next(numbers), words(60, 2), max_tokens=1))
        if any(token.row == 1 for token in runner.step()):
            return
    pytest.fail("the long prompt has no token after 60 steps")


# --- buckets ---


def test_a_long_row_decodes_apart_from_short_ones_which_advance_every_step(llama: Any) -> None:
    runner = _runner(llama, prefill_step_tokens=4096, weights_in_tokens=1000)
    runner.insert(row(9, words(1500, 9), max_tokens=200))
    runner.step()
    for number in range(1, 9):
        runner.insert(row(number, words(20, number), max_tokens=200))
    while not {token.row for token in runner.step()} >= set(range(1, 9)):
        pass
    told = [{token.row for token in runner.step()} for _ in range(50)]
    assert all(rows >= set(range(1, 9)) for rows in told)
    assert any(9 in rows for rows in told)
    assert sorted(batch.shape.longest > 1000 for batch in runner.batches) == [False, True]
    assert sorted(len(batch) for batch in runner.batches) == [1, 8]


def test_beside_streams_a_long_prompts_kv_is_never_copied_at_once(llama: Any) -> None:
    prompt = words(3000, 1)
    prefixes = PrefixCache(limit_bytes=10**9)
    runner = _runner(llama, prefill_step_tokens=1024, prefixes=prefixes)
    runner.insert(row(1, max_tokens=10_000))
    while not runner.step():
        pass
    runner.insert(row(2, prompt, max_tokens=10_000))
    while not (joined := _peak(runner))[1] >= {2}:
        pass
    kept = [_peak(runner) for _ in range(6)]
    assert prefixes.known_tokens(prompt) == 2999
    assert max(peak_bytes for peak_bytes, _ in (joined, *kept)) < 3000 * KV_BYTES_PER_TOKEN / 2


def test_nobody_waits_for_the_keeping_of_a_prompt_that_is_not_kept(llama: Any) -> None:
    model = Steps(llama)
    runner = _clocked(model, prefill_step_tokens=64)
    runner.insert(row(1, words(10, 1), max_tokens=10_000))
    while not runner.step():
        pass
    for number in (2, 3):
        runner.insert(row(number, words(1500, number), max_tokens=10_000, prefix_cache=False))
    while not any(token.row > 1 for token in runner.step()):
        pass
    chunks = len(model.chunks)
    runner.step()
    assert len(model.chunks) == chunks + 1


def _peak(runner: MlxRunner) -> tuple[int, set[int]]:
    """Step, and return the bytes that it took beyond what there was, and the rows that it told a token of."""
    before_bytes = mx.get_active_memory()
    mx.reset_peak_memory()
    told = {token.row for token in runner.step()}
    return mx.get_peak_memory() - before_bytes, told


def test_layers_grow_one_after_the_other(llama: Any) -> None:
    """To grow copies all that a layer holds, and the streams wait for it."""
    runner = _runner(llama)
    for number in range(8):
        runner.insert(row(number, words(10, number), max_tokens=10_000))
    while len(runner.step()) < 8:
        pass
    layers = vars(runner.batches[0])["_batch"].prompt_cache
    rooms: list[list[int]] = []
    for _ in range(300):
        runner.step()
        rooms.append([layer.keys.shape[2] for layer in layers])
    grown = [sum(map(operator.ne, earlier, later)) for earlier, later in itertools.pairwise(rooms)]
    assert (max(grown), sum(grown)) == (1, 2)


# --- faults ---


class Failing:
    """A model that raises when a token is among those that it is called for."""

    def __init__(self, model: Any, token: int) -> None:
        self._model = model
        self._token = token

    def __call__(self, tokens: mx.array, **options: Any) -> mx.array:
        if bool(mx.any(tokens == self._token).item()):
            raise RuntimeError("[metal::malloc] out of memory")
        return self._model(tokens, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def test_a_prompt_that_fails_takes_no_other_row_with_it(llama: Any) -> None:
    expected = _alone(llama, row(1))
    runner = _runner(Failing(llama, 299))
    runner.insert(row(1))
    tokens = [*runner.step(), *runner.step(), *runner.step()]
    runner.insert(row(2, (5, 299, 6)))
    with pytest.raises(RowsError) as failure:
        runner.step()
    assert failure.value.rows == (2,)
    tokens += [token for _ in range(20) for token in runner.step()]
    assert ids(tokens) == expected


def test_a_row_whose_sampler_raises_takes_no_other_row_with_it(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """mlx-lm's own generator would drop the batch, and its `next` return nothing for ever."""

    class Raising(RowPlan):
        @property
        def sampler(self) -> Any:
            def fail(_: mx.array) -> mx.array:
                raise ValueError

            return fail

    expected = _alone(llama, row(1))
    runner = _runner(llama)
    runner.insert(row(1))
    tokens = [*runner.step(), *runner.step()]
    with monkeypatch.context() as patch:
        patch.setattr("gateway.engine.decoding.RowPlan", Raising)
        runner.insert(row(2))
        tokens += runner.step()
    with pytest.raises(RowsError) as failure:
        runner.step()
    assert failure.value.rows == (2,)
    tokens += [token for _ in range(20) for token in runner.step()]
    assert ids(tokens) == expected
