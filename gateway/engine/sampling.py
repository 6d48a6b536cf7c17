"""Choose the next token as OpenAI describes it: temperature first, then the nucleus, then a draw."""

from collections.abc import Callable

import mlx.core as mx

Sampler = Callable[[mx.array], mx.array]
"""Takes log-probabilities (rows x vocabulary) and returns token ids (rows)."""


def greedy(logprobs: mx.array) -> mx.array:
    return mx.argmax(logprobs, axis=-1)


def scale(logprobs: mx.array, temperature: float, top_p: float) -> mx.array:
    """Return the log-weights to draw from: tempered, with the tokens outside the nucleus at minus infinity.

    The nucleus is the smallest set of likeliest tokens whose mass reaches `top_p` (Holtzman et al. 2020, The Curious
    Case of Neural Text Degeneration), of the tempered distribution. Tokens as likely as its last one are in it.
    """
    tempered = logprobs.astype(mx.float32) / temperature
    if top_p >= 1.0:
        return tempered
    ordered = mx.sort(tempered, axis=-1)
    probabilities = mx.softmax(ordered, axis=-1, precise=True)
    mass_above = mx.cumsum(probabilities, axis=-1, reverse=True, inclusive=False)
    dropped = (mass_above >= top_p).sum(axis=-1, keepdims=True)
    threshold = mx.take_along_axis(ordered, dropped, axis=-1)
    return mx.where(tempered < threshold, -mx.inf, tempered)


def seeded(temperature: float, top_p: float, seed: int) -> Sampler:
    """Return a sampler for one row that draws the same tokens whatever runs beside it: its key is its own."""
    state = [mx.random.key(seed % 2**64)]

    def sample(logprobs: mx.array) -> mx.array:
        state[0], key = mx.random.split(state[0])
        return mx.random.categorical(scale(logprobs, temperature, top_p), key=key)

    return sample


class Samplers:
    """Hands out one and the same object for equal parameters: mlx-lm samples rows that share it in one call."""

    def __init__(self) -> None:
        self._shared: dict[tuple[float, float], Sampler] = {}

    def of(self, *, temperature: float, top_p: float, seed: int | None) -> Sampler:
        if temperature <= 0 or top_p <= 0:
            return greedy
        if seed is not None:
            return seeded(temperature, top_p, seed)
        return self._shared.setdefault((temperature, top_p), _unseeded(temperature, top_p))


def _unseeded(temperature: float, top_p: float) -> Sampler:
    def sample(logprobs: mx.array) -> mx.array:
        return mx.random.categorical(scale(logprobs, temperature, top_p))

    return sample
