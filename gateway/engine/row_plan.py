"""How one row is decoded: its sampler and its processors, and what is written down beside each token that it draws."""

from collections import deque
from functools import partial
from typing import cast

import mlx.core as mx

from gateway.contracts.scoring import TopToken
from gateway.engine.grammar import Constraint
from gateway.engine.masks import Masks
from gateway.engine.penalties import Processor, penalties
from gateway.engine.runner import DrawnLogprob, RowSpec
from gateway.engine.sampling import Sampler, Samplers


class RowPlan:
    """A row that asks for nothing of its own has the shared sampler and no processor, and costs nothing."""

    def __init__(self, spec: RowSpec, samplers: Samplers, masks: Masks) -> None:
        self._top_count = spec.top_logprobs
        self._constraint = spec.constraint
        self._masks = masks
        self._sample = samplers.of(spec.sampling)
        self._raw: mx.array | None = None
        """The model's own logits of this step, where processors change what the sampler sees."""
        self._noted: deque[tuple[mx.array, mx.array, mx.array]] = deque()
        """Log-probability, likeliest ids and their log-probabilities of the tokens drawn and not yet told."""
        self.processors: list[Processor] = []
        penalise = penalties(spec.sampling, spec.prompt)
        if self._top_count is not None and (penalise or self._constraint):
            self.processors.append(self._remember)
        if penalise:
            self.processors.append(penalise)
        if self._constraint:
            self.processors.append(partial(self._mask, self._constraint))

    @property
    def sampler(self) -> Sampler:
        return self._sample if self._top_count is None and self._constraint is None else self._draw

    def next_logprob(self) -> DrawnLogprob | None:
        """Return the log-probabilities beside the token that was told last, None where they are not asked for."""
        if self._top_count is None:
            return None
        chosen, ids, values = self._noted.popleft()
        return DrawnLogprob(cast("float", chosen.item()), _ordered(ids, values))

    def _remember(self, _: mx.array, logits: mx.array) -> mx.array:
        self._raw = logits
        return logits

    def _mask(self, constraint: Constraint, _: mx.array, logits: mx.array) -> mx.array:
        return self._masks.apply(constraint, logits)

    def _draw(self, logprobs: mx.array) -> mx.array:
        """Draw the row's token, and tell it to the grammar."""
        token = self._sample(logprobs)
        if self._top_count is not None:
            self._note(logprobs if self._raw is None else self._raw, token, self._top_count)
        if self._constraint is not None:
            self._masks.note(self._constraint, token)
        return token

    def _note(self, logits: mx.array, token: mx.array, top_count: int) -> None:
        """Compute the log-probabilities along with the step, so that nobody waits for them after it."""
        logits = logits[0].astype(mx.float32)
        logprobs = logits - mx.logsumexp(logits)
        count = min(top_count, logprobs.shape[-1])
        ids = mx.argpartition(-logprobs, max(count - 1, 0))[:count]
        noted = (logprobs[token], ids, logprobs[ids])
        mx.async_eval(*noted)  # pyright: ignore[reportUnknownMemberType] - its stub types no arguments
        self._noted.append(noted)


def _ordered(ids: mx.array, values: mx.array) -> tuple[TopToken, ...]:
    """Return the pairs likeliest first; of equally likely tokens the one with the smaller id."""
    pairs = zip(cast("list[int]", ids.tolist()), cast("list[float]", values.tolist()), strict=True)
    return tuple(TopToken(token, logprob) for token, logprob in sorted(pairs, key=lambda pair: (-pair[1], pair[0])))
