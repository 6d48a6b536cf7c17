"""Change a row's logits by what it has said and by what the client wants it to say."""

from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np

from gateway.wire import Sampling

Processor = Callable[[mx.array, mx.array], mx.array]
"""mlx-lm's logits processor: takes the tokens so far and one row's logits (1 x vocabulary), and returns the logits.

It must not raise: mlx-lm then loses every row of the batch. It is called once for each token, and once more after the
last one.
"""


def penalties(sampling: Sampling, prompt: Sequence[int]) -> Processor | None:
    """Return what penalises and biases one row, None where nothing does."""
    has_counts = sampling.presence_penalty != 0.0 or sampling.frequency_penalty != 0.0
    if not has_counts and sampling.repetition_penalty == 1.0 and not sampling.logit_bias:
        return None
    return Penalties(sampling, prompt)


class Penalties:
    """The state of one row.

    Repetition first, as in Hugging Face's RepetitionPenaltyLogitsProcessor (Keskar et al. 2019, CTRL), then OpenAI's
    presence and frequency penalties, then the bias. mlx-lm's own penalties look at the last 20 tokens, the prompt's
    among them, which is neither.
    """

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self._sampling = sampling
        self._prompt = prompt
        self._started = False
        self._counts: mx.array | None = None
        """Of each token of the vocabulary, how often it was generated."""
        self._seen: mx.array | None = None
        """Of each token of the vocabulary, whether it stands in the prompt or was generated."""
        self._bias: mx.array | None = None

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """`tokens` end with the one that was generated last; in the first call, with the prompt's last."""
        if self._started:
            self._note(tokens[-1:])
        else:
            self._started = True
            self._prepare(logits.shape[-1])
        return self._apply(logits)

    def _prepare(self, width: int) -> None:
        """Make the vectors, as wide as the model's logits; tokens beyond them cannot be generated."""
        sampling = self._sampling
        if sampling.presence_penalty != 0.0 or sampling.frequency_penalty != 0.0:
            self._counts = mx.zeros((width,), dtype=mx.float32)
        if sampling.repetition_penalty != 1.0:
            seen = np.zeros(width, dtype=np.bool_)
            seen[[token for token in self._prompt if token < width]] = True
            self._seen = mx.array(seen)  # pyright: ignore[reportArgumentType] - its stub does not know numpy
        if sampling.logit_bias:
            bias = np.zeros(width, dtype=np.float32)
            for token, value in sampling.logit_bias.items():
                if token < width:
                    bias[token] = value
            self._bias = mx.array(bias)

    def _note(self, token: mx.array) -> None:
        if self._counts is not None:
            self._counts = self._counts.at[token].add(1.0)  # pyright: ignore[reportUnknownMemberType] - as its stub
        if self._seen is not None:
            self._seen[token] = True

    def _apply(self, logits: mx.array) -> mx.array:
        sampling = self._sampling
        changed = logits.astype(mx.float32)
        if self._seen is not None:
            penalty = sampling.repetition_penalty
            changed = mx.where(self._seen, mx.where(changed > 0, changed / penalty, changed * penalty), changed)
        if self._counts is not None:
            changed = changed - self._counts * sampling.frequency_penalty
            changed = changed - (self._counts > 0) * sampling.presence_penalty
        if self._bias is not None:
            changed = changed + self._bias
        return changed.astype(logits.dtype)
