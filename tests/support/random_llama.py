"""A small llama with random weights in memory, and what decides whether two of its answers may differ."""

from collections.abc import Sequence
from typing import Any, cast

import mlx.core as mx
import numpy as np
from mlx.utils import tree_map
from mlx_lm.models import llama
from mlx_lm.models.cache import make_prompt_cache

from gateway.engine.runner import RowSpec, RowToken
from gateway.engine.sampling import scale
from gateway.wire import Sampling

VOCABULARY = 300
NEAR_TIE = 1e-3
"""Two tokens whose scores lie within this of each other are equally good: float32 sums differ with the batch."""


def random_llama() -> Any:
    """Return a model of two layers in float32 whose likeliest token depends on all of the prompt."""
    mx.random.seed(5)
    arguments = llama.ModelArgs(
        model_type="llama",
        hidden_size=64,
        num_hidden_layers=2,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        vocab_size=VOCABULARY,
        tie_word_embeddings=False,
    )
    model = llama.Model(arguments)
    # mlx's own initial weights leave all tokens about as likely.
    weights = model.parameters()
    model.update(tree_map(lambda array: 0.3 * mx.random.normal(array.shape) if array.ndim > 1 else array, weights))
    mx.eval(model.parameters())
    return model


def row(number: int, prompt: Sequence[int] = (1, 2, 3), **overrides: Any) -> RowSpec:
    """Return a greedy row of 12 tokens; overrides are fields of a RowSpec or of its Sampling."""
    sampling: dict[str, Any] = {name: overrides.pop(name) for name in Sampling.__struct_fields__ if name in overrides}
    sampling.setdefault("temperature", 0.0)
    fields: dict[str, Any] = {"max_tokens": 12, "sampling": Sampling(**sampling)} | overrides
    return RowSpec(row=number, prompt=tuple(prompt), **fields)


def words(length: int, seed: int) -> tuple[int, ...]:
    """Return a prompt of so many tokens, the same for the same seed."""
    return tuple(cast("list[int]", mx.random.randint(0, VOCABULARY, (length,), key=mx.random.key(seed)).tolist()))


def decode(runner: Any, specs: Sequence[RowSpec], *, late: Sequence[RowSpec] = ()) -> dict[int, list[RowToken]]:
    """Decode all rows to their ends; the late ones join one at a time, at every third step."""
    waiting = list(late)
    for spec in specs:
        runner.insert(spec)
    tokens: dict[int, list[RowToken]] = {spec.row: [] for spec in (*specs, *late)}
    open_rows = set(tokens)
    steps = 0
    while open_rows:
        steps += 1
        assert steps < 10_000, f"rows {open_rows} do not end"
        if waiting and steps % 3 == 0:
            runner.insert(waiting.pop(0))
        for token in runner.step():
            tokens[token.row].append(token)
            if token.finish_reason:
                open_rows.remove(token.row)
    return tokens


def ids(tokens: Sequence[RowToken]) -> list[int]:
    return [token.token for token in tokens]


def assert_same_answer(model: Any, spec: RowSpec, one: Sequence[int], other: Sequence[int]) -> None:
    """Assert that two answers to one row are equal up to a near tie, at which they may part."""
    for at, (first, second) in enumerate(zip(one, other, strict=False)):
        if first != second:
            scores = np.array(_scores(model, spec, (*spec.prompt, *one[:at]), drawn_before=at))
            gap = abs(float(scores[first] - scores[second]))
            best = float(scores.max())
            worst = float(min(scores[first], scores[second]))
            assert max(gap, best - worst) <= NEAR_TIE, f"token {at}: {first} and {second} are {gap:.2g} apart"
            return
    assert len(one) == len(other)


def _scores(model: Any, spec: RowSpec, tokens: Sequence[int], *, drawn_before: int) -> mx.array:
    """Return what the next token is the best of: log-probabilities, or with a seed the perturbed scores."""
    logits = model(mx.array([tokens]), cache=make_prompt_cache(model))[0, -1]
    logprobs = logits - mx.logsumexp(logits)
    if spec.sampling.seed is None:
        return logprobs
    state = mx.random.key(spec.sampling.seed % 2**64)
    key = state
    for _ in range(drawn_before + 1):
        state, key = mx.random.split(state)
    noise = mx.random.gumbel((1, logprobs.shape[-1]), key=key)[0]
    return scale(logprobs[None], spec.sampling)[0] + noise
