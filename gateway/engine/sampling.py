"""Choose the next token as OpenAI describes it: temperature first, then which tokens stay, then a draw."""

import math
from collections.abc import Callable
from weakref import WeakValueDictionary

import mlx.core as mx

from gateway.wire import Sampling

Sampler = Callable[[mx.array], mx.array]
"""Takes log-probabilities (rows x vocabulary) and returns token ids (rows)."""


def greedy(logprobs: mx.array) -> mx.array:
    return mx.argmax(logprobs, axis=-1)


def scale(logprobs: mx.array, sampling: Sampling) -> mx.array:
    """Return the log-weights to draw from: tempered, with the tokens that are left out at minus infinity.

    Tempered first, then as vLLM does: `min_p` (Nguyen et al. 2024, Min-p Sampling), `top_k`, and `top_p` of what is
    left: the smallest set of likeliest tokens whose mass reaches it (Holtzman et al. 2020, The Curious Case of Neural
    Text Degeneration). Tokens as likely as the last one that stays, stay too.
    """
    weights = logprobs.astype(mx.float32) / sampling.temperature
    if sampling.min_p > 0.0:
        threshold = weights.max(axis=-1, keepdims=True) + math.log(sampling.min_p)
        weights = mx.where(weights < threshold, -mx.inf, weights)
    takes_k = 0 < sampling.top_k < weights.shape[-1]
    if not takes_k and sampling.top_p >= 1.0:
        return weights
    ordered = mx.sort(weights, axis=-1)
    if takes_k:
        # Of the rest only the last is kept as it is: a threshold that equals it drops nothing more.
        ordered = ordered[..., -sampling.top_k :]
    threshold = ordered[..., :1]
    if sampling.top_p < 1.0:
        probabilities = mx.softmax(ordered, axis=-1, precise=True)
        mass_above = mx.cumsum(probabilities, axis=-1, reverse=True, inclusive=False)
        dropped = (mass_above >= sampling.top_p).sum(axis=-1, keepdims=True)
        threshold = mx.take_along_axis(ordered, dropped, axis=-1)
    return mx.where(weights < threshold, -mx.inf, weights)


def seeded(sampling: Sampling, seed: int) -> Sampler:
    """Return a sampler for one row that draws the same tokens whatever runs beside it: its key is its own.

    By the Gumbel-max trick (Gumbel 1954; Maddison et al. 2014, A* Sampling): the token with the best perturbed score.
    So a batch's other rounding changes the token only where two perturbed scores nearly tie. `mx.random.categorical`
    inverts the cumulative distribution, where rounding in any token before it moves the draw.
    """
    state = [mx.random.key(seed % 2**64)]

    def sample(logprobs: mx.array) -> mx.array:
        state[0], key = mx.random.split(state[0])
        weights = scale(logprobs, sampling)
        return mx.argmax(weights + mx.random.gumbel(weights.shape, key=key), axis=-1)

    return sample


class Samplers:
    """Hands out one and the same object for equal parameters: mlx-lm samples rows that share it in one call."""

    def __init__(self) -> None:
        self._shared: WeakValueDictionary[tuple[float, float, int, float], Sampler] = WeakValueDictionary()
        """Weak, because clients choose the parameters: a sampler lives as long as a row uses it."""

    @property
    def shared_count(self) -> int:
        """Samplers that rows use now."""
        return len(self._shared)

    def of(self, sampling: Sampling) -> Sampler:
        if sampling.temperature <= 0 or sampling.top_p <= 0 or sampling.top_k == 1:
            return greedy
        if sampling.seed is not None:
            return seeded(sampling, sampling.seed)
        key = (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p)
        return self._shared.setdefault(key, _unseeded(sampling))


def _unseeded(sampling: Sampling) -> Sampler:
    def sample(logprobs: mx.array) -> mx.array:
        return mx.random.categorical(scale(logprobs, sampling))

    return sample
