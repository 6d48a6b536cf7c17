"""Teacher-forced log-probabilities of a given sequence, a chunk at a time so that other work fits in between."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import mlx.core as mx
from mlx import nn
from mlx_lm.models.cache import make_prompt_cache

from gateway.contracts.scoring import PositionScore, TopToken
from gateway.engine.runner import ScoreSpec, ScoringError


def score(model: nn.Module, spec: ScoreSpec, *, chunk_tokens: int) -> Iterator[tuple[PositionScore, ...]]:
    """Yield the scores of `spec.tokens[spec.scored_from:]` in order, some at a time, maybe none.

    Each item runs the model once, over `chunk_tokens` tokens at most: the float32 logits that live at once are
    `chunk_tokens` x vocabulary, and a few temporaries of that size (512 x 151,936 would be 311 MB each).

    Raises ScoringError where a token is none of the model's, or the model answers with infinities or no numbers.
    """
    cache: list[Any] = make_prompt_cache(model)
    # The last token is scored and predicts nothing that is asked for.
    inputs = spec.tokens[:-1]
    for start in range(0, len(inputs), chunk_tokens):
        chunk = inputs[start : start + chunk_tokens]
        logits = cast("mx.array", model(mx.array([chunk]), cache=cache))
        if max(spec.tokens) >= logits.shape[-1]:  # Known before anything is computed, which would read beyond an array.
            raise ScoringError(f"A token is beyond the model's vocabulary of {logits.shape[-1]}.")
        # Position i of the chunk predicts token start + i + 1.
        skipped = min(max(spec.scored_from - start - 1, 0), len(chunk))
        targets = spec.tokens[start + 1 + skipped : start + 1 + len(chunk)]
        if targets:
            yield _positions(logits[0, skipped:], targets, spec.top_k)
        else:
            # Lazy as MLX is, the logits of a chunk that only fills the cache are never computed.
            mx.eval([layer.state for layer in cache])  # pyright: ignore[reportUnknownMemberType] - as its stub
            yield ()
        mx.clear_cache()


def _positions(logits: mx.array, targets: Sequence[int], top_k: int) -> tuple[PositionScore, ...]:
    """Return a score for each target; `logits` are targets x vocabulary."""
    logits = logits.astype(mx.float32)
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    chosen = _floats(mx.take_along_axis(logprobs, mx.array(list(targets))[:, None], axis=-1)[:, 0])
    if not all(map(math.isfinite, chosen)):
        raise ScoringError("The model gives log-probabilities that are not finite.")
    ids, values, rest = _split(logprobs, min(top_k, logprobs.shape[-1]))
    tail_mass = _floats(mx.exp(rest).sum(axis=-1))
    return tuple(
        PositionScore(token=target, logprob=chosen[at], top=_ordered(ids[at], values[at]), tail_mass=tail_mass[at])
        for at, target in enumerate(targets)
    )


def _split(logprobs: mx.array, top_k: int) -> tuple[list[list[int]], list[list[float]], mx.array]:
    """Return ids and log-probabilities of each row's `top_k` likeliest tokens, and all others' log-probabilities."""
    if top_k == 0:
        nothing: list[list[int]] = [[]] * logprobs.shape[0]
        return nothing, [[]] * logprobs.shape[0], logprobs
    top = mx.argpartition(-logprobs, top_k - 1, axis=-1)[:, :top_k]
    values = mx.take_along_axis(logprobs, top, axis=-1)
    rest = mx.put_along_axis(logprobs, top, mx.array(-mx.inf), axis=-1)
    return cast("list[list[int]]", top.tolist()), cast("list[list[float]]", values.tolist()), rest


def _floats(vector: mx.array) -> list[float]:
    return cast("list[float]", vector.tolist())


def _ordered(ids: list[int], values: list[float]) -> tuple[TopToken, ...]:
    """Return the pairs likeliest first; of equally likely tokens the one with the smaller id."""
    return tuple(TopToken(token, logprob) for logprob, token in sorted(zip(values, ids, strict=True), key=_rank))


def _rank(pair: tuple[float, int]) -> tuple[float, int]:
    logprob, token = pair
    return -logprob, token
