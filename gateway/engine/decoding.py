"""One batch of rows that decode together: mlx-lm's GenerationBatch, given rows whose prompts are already computed.

Its BatchGenerator, which drives one, copies the KV of a row that joins four times on the way.
"""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import msgspec
from mlx import nn
from mlx_lm.generate import GenerationBatch, StopSequences
from mlx_lm.models.cache import BatchKVCache
from mlx_lm.sample_utils import greedy_sampler

from gateway.contracts.chat import FinishReason
from gateway.engine.buckets import Shape
from gateway.engine.kv_run import can_be_cut, growths
from gateway.engine.masks import Masks
from gateway.engine.prefill import PrefillRow
from gateway.engine.row_plan import RowPlan
from gateway.engine.runner import RowsError, RowSpec, RowToken
from gateway.engine.sampling import Samplers


class EndedRow(msgspec.Struct, frozen=True):
    """A row that is gone, and what its cache held."""

    spec: RowSpec
    tokens: tuple[int, ...]
    cache: Sequence[Any]
    """Lazy, and a copy once it is used."""


class _Row(msgspec.Struct):
    spec: RowSpec
    plan: RowPlan
    cached_tokens: int
    joined_at_step: int


class Decoding:
    def __init__(self, model: nn.Module, *, end_tokens: frozenset[int], samplers: Samplers) -> None:
        self._model = model
        self._end_sequences = StopSequences([[token] for token in end_tokens])
        self._batch: Any = GenerationBatch.empty(model, greedy_sampler)  # mlx-lm is untyped; the seam ends here.
        self._samplers = samplers
        self._masks = Masks(end_tokens)
        self._rows: dict[int, _Row] = {}
        """By number."""
        self._joining: dict[int, list[Any]] = {}
        """KV of rows that have not begun."""
        self._steps = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def stream_count(self) -> int:
        """Urgent rows whose answers are under way: they have begun."""
        return sum(row.spec.urgent for number, row in self._rows.items() if number not in self._joining)

    @property
    def shape(self) -> Shape:
        lengths = [len(row.spec.prompt) + self._steps - row.joined_at_step for row in self._rows.values()]
        return Shape(rows=len(lengths), longest=max(lengths, default=0), tokens=sum(lengths))

    def join(self, row: PrefillRow) -> None:
        spec = row.spec
        plan = RowPlan(spec, self._samplers, self._masks)
        self._rows[spec.row] = _Row(spec, plan, row.cached_tokens, self._steps)
        self._joining[spec.row] = row.cache

    def begin(self) -> None:
        """Have the rows that have joined compute their first token, which the next step tells.

        Raises RowsError where that fails: they are gone, and the others go on.
        """
        if not self._joining:
            return
        rows = [self._rows[number] for number in self._joining]
        caches, self._joining = list(self._joining.values()), {}
        try:
            begun = self._begun(rows, _batched(caches))
        except Exception as error:  # whatever MLX raises, or a row's own sampler
            numbers = [row.spec.row for row in rows]
            for number in numbers:
                del self._rows[number]
            raise RowsError(numbers) from error
        if len(self._batch):
            self._batch.extend(begun)
        else:
            self._batch = begun

    def step(self) -> tuple[list[RowToken], list[EndedRow]]:
        """Give every row that has begun one token. Raises anything that MLX raises."""
        generated = self._batch.next()
        self._steps += 1
        tokens: list[RowToken] = []
        ended: list[EndedRow] = []
        for response in generated:
            row = self._rows[response.uid]
            reason = FinishReason(response.finish_reason) if response.finish_reason else None
            tokens.append(RowToken(row.spec.row, response.token, reason, row.plan.next_logprob(), row.cached_tokens))
            if reason:
                del self._rows[response.uid]
                ended.append(EndedRow(row.spec, tuple(response.all_tokens), response.prompt_cache))
        return tokens, ended

    def remove(self, number: int) -> EndedRow | None:
        """Forget a row; None where it is not held."""
        row = self._rows.pop(number, None)
        if row is None:
            return None
        if (cache := self._joining.pop(number, None)) is not None:
            return EndedRow(row.spec, row.spec.prompt[:-1], cache)
        at = self._batch.uids.index(number)
        ended = EndedRow(row.spec, tuple(self._batch.tokens[at]), self._batch.extract_cache(at))
        self._batch.filter([other for other in range(len(self._batch)) if other != at])
        return ended

    def close(self) -> None:
        self._rows.clear()
        self._joining.clear()
        self._batch = GenerationBatch.empty(self._model, greedy_sampler)

    def _begun(self, rows: Sequence[_Row], cache: list[Any]) -> Any:
        return GenerationBatch(
            model=self._model,
            uids=[row.spec.row for row in rows],
            inputs=mx.array([row.spec.prompt[-1] for row in rows]),
            prompt_cache=cache,
            tokens=[list(row.spec.prompt[:-1]) for row in rows],
            samplers=[row.plan.sampler for row in rows],
            fallback_sampler=greedy_sampler,
            logits_processors=[row.plan.processors for row in rows],
            stop_sequences=[self._end_sequences] * len(rows),
            max_tokens=[row.spec.max_tokens for row in rows],
        )


def _batched(caches: Sequence[list[Any]]) -> list[Any]:
    """Return the caches of single rows as one of them all: of one row it is the same buffers, with their spare room."""
    if not can_be_cut(caches[0]):
        return [layers[0].merge(list(layers)) for layers in zip(*caches, strict=True)]
    batched: list[Any] = []
    for layers, growth in zip(zip(*caches, strict=True), growths(len(caches[0])), strict=True):
        cache = _alone(layers[0]) if len(layers) == 1 else layers[0].merge(list(layers))
        cache.step = growth
        batched.append(cache)
    return batched


def _alone(layer: Any) -> Any:
    cache = BatchKVCache([0])
    cache.state = (layer.keys, layer.values, mx.array([layer.offset]), mx.array([0]), layer.offset)
    return cache
