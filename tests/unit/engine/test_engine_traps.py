# ruff: noqa: E501 - a row of the table is one line
"""mlx-lm's traps, and what peers fall into inside the engine: where each is kept from a user.

| trap | what happens | test |
|---|---|---|
| a sampler or processor that raises | its whole batch is lost, `next()` is silent for ever | test_mlx_runner: a_row_whose_sampler_raises_... |
| an error in a prompt (memory) | the batch is lost with it | test_mlx_runner: a_prompt_that_fails_... |
| an error anywhere in a step | the generation thread dies, the server looks alive | test_loop: an_error_in_a_step_... |
| a prompt that is cached whole | `insert` raises on an empty prompt | test_mlx_runner: a_prompt_that_is_cached_whole_... |
| eight prompts x 2,048 tokens in one step | running streams stall | test_mlx_runner: while_streams_run_... |
| a short prompt behind a long one | waits for all of it | test_mlx_runner: a_short_prompt_does_not_wait_... |
| new requests are looked at every 0.5 s | late first token | test_mlx_runner: a_row_joins_at_the_next_step_... |
| KV is rows x longest | a long row slows all | test_mlx_runner: a_long_row_decodes_apart_... |
| the prompt cache's bound binds on one path only | memory grows | test_prefix_cache: whatever_comes_the_bound_holds_... |
| a partial hit gives a wrong answer | another text | test_mlx_runner: a_hit_answers_as_a_miss_... |
| a damaged file of a cache | a crash, or a wrong text | test_prefix_cache: a_damaged_file_... |
| a row that joins is copied four times | streams stall, memory peaks | test_mlx_runner: beside_streams_a_long_prompts_kv_... |
| `close()` restores the wired limit that it met | the survivor loses its memory | here |
| the pool of free buffers has no limit of its own | it swells to the memory limit | here |
| streams belong to a thread | "no Stream in current thread" | here: the text thread imports no MLX |
| `remove()` while a step runs | Metal aborts the process | test_loop: a_removed_row_... (the loop's thread does both) |
| the stock sampler draws from the global state | a seed depends on the neighbours | test_mlx_runner: a_seeded_row_... |
| a sampler of its own for each row | rows are sampled one by one | test_sampling: rows_with_equal_parameters_share_... |
| `repetition_penalty=1.0` installs a processor | the row is slow | test_penalties: a_row_without_penalties_has_no_processor |
| penalties see the last 20 tokens, the prompt's too | not OpenAI's meaning | test_penalties: presence_counts_what_was_generated_... |
| a processor is called once more after the last token | it may be in no state for it | test_row_plan: a_row_ends_where_its_grammar_does_... |
| stop words are matched as tokens | hidden, but generation goes on | test_text: a_stop_string_ends_the_request_... |
| text before a stop string that is split over chunks | lost | test_stop_strings: streamed_text_is_the_text_... |
| a cache without `merge` | the first request fails | test_single_runner, and here |
| a prompt beyond the window | computed all the same | test_engine_scripted: a_request_beyond_the_context_... |
| `max_completion_tokens` | runs on | test_mlx_runner: an_end_token_stops_a_row_and_the_limit_cuts_it |
| public names move between minors | a failure in the middle of serving | here |
"""

import inspect
import subprocess
import sys
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.generate import BatchGenerator, GenerationBatch, PromptProcessingBatch
from mlx_lm.models import cache

from gateway.engine import device
from gateway.engine.mlx_runner import MlxRunner
from gateway.engine.prefix_cache import PrefixCache
from tests.support.random_llama import decode, row

GIB = 1024**3


class Metal:
    """The wired limit of a Mac, as MLX and mlx-lm set it; nothing here can set a real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.limits_bytes: list[int] = []
        monkeypatch.setattr(mx, "device_info", lambda: {"max_recommended_working_set_size": 24 * GIB})
        monkeypatch.setattr(mx, "set_wired_limit", self.set_wired_limit)

    def set_wired_limit(self, limit_bytes: int) -> int:
        self.limits_bytes.append(limit_bytes)
        return limit_bytes


def test_no_batch_of_ours_touches_the_wired_limit(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    metal = Metal(monkeypatch)
    device.set_limits(cache_limit_bytes=None, memory_limit_bytes=None)
    runner = MlxRunner(
        llama, end_tokens=(), max_rows=2, prefill_step_tokens=64, step_bytes=10**6, prefixes=PrefixCache(limit_bytes=0)
    )
    decode(runner, [row(1), row(2, (1, 2, 3))])
    runner.close()
    assert metal.limits_bytes == [24 * GIB]


def test_the_limits_that_are_handed_over_are_mlxs(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: dict[str, int] = {}
    monkeypatch.setattr(mx, "set_cache_limit", lambda limit: limits.update(cache=limit))
    monkeypatch.setattr(mx, "set_memory_limit", lambda limit: limits.update(memory=limit))
    device.set_limits(cache_limit_bytes=GIB, memory_limit_bytes=20 * GIB)
    assert limits == {"cache": GIB, "memory": 20 * GIB}


def test_the_text_thread_imports_no_mlx() -> None:
    names = "[name for name in sys.modules if name.split('.')[0] in {'mlx', 'mlx_lm', 'transformers'}]"
    program = f"import sys; import gateway.engine.text; print({names})"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert printed.stdout.strip() == "[]"


def test_quantised_and_chunked_caches_still_have_no_batch() -> None:
    assert not hasattr(cache.QuantizedKVCache, "merge")
    assert not hasattr(cache.ChunkedKVCache, "merge")


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (
            GenerationBatch.__init__,
            {"model", "uids", "inputs", "prompt_cache", "tokens", "stop_sequences", "max_tokens"},
        ),
        (GenerationBatch.__init__, {"samplers", "fallback_sampler", "logits_processors"}),
        (GenerationBatch.empty, {"model", "fallback_sampler"}),
        (GenerationBatch.extend, {"batch"}),
        (GenerationBatch.extract_cache, {"idx"}),
        (GenerationBatch.filter, {"keep"}),
        (PromptProcessingBatch.__init__, {"model", "uids", "caches", "prefill_step_size"}),
        (PromptProcessingBatch.prompt, {"tokens"}),
        (PromptProcessingBatch.extract_cache, {"idx"}),
        (cache.make_prompt_cache, {"model"}),
    ],
)
def test_what_is_called_of_mlx_lm_takes_what_it_is_given(function: Any, names: set[str]) -> None:
    assert names <= set(inspect.signature(function).parameters)


def test_a_finished_row_comes_with_its_cache_and_the_tokens_that_it_holds(llama: Any) -> None:
    generator = BatchGenerator(llama)
    generator.insert([[1, 2, 3]], max_tokens=[2])
    responses: list[Any] = []
    while not responses or not responses[-1].finish_reason:
        responses += generator.next()[1]
    last = responses[-1]
    assert last.all_tokens == [1, 2, 3, *(response.token for response in responses)]
    assert {type(layer) for layer in last.prompt_cache} == {cache.KVCache}
    assert {layer.offset for layer in last.prompt_cache} == {len(last.all_tokens)}


def test_a_processor_is_still_called_once_more_after_the_last_token(llama: Any) -> None:
    calls: list[int] = []

    def count(_: mx.array, logits: mx.array) -> mx.array:
        calls.append(1)
        return logits

    generator = BatchGenerator(llama)
    spec = row(1, max_tokens=5)
    generator.insert([list(spec.prompt)], max_tokens=[5], logits_processors=[[count]])
    while not any(response.finish_reason for response in generator.next()[1]):
        pass
    assert len(calls) == 6
