"""One batch of rows that decode together: mlx-lm's BatchGenerator, given rows whose prompts are already computed."""

from collections.abc import Sequence
from typing import Any

import msgspec
from mlx import nn
from mlx_lm.generate import BatchGenerator

from gateway.contracts.chat import FinishReason
from gateway.engine.buckets import Shape
from gateway.engine.masks import Masks
from gateway.engine.prefill import PrefillRow
from gateway.engine.row_plan import RowPlan
from gateway.engine.runner import RowSpec, RowToken
from gateway.engine.sampling import Samplers


class LostRowsError(Exception):
    """Rows of ours do not advance: mlx-lm drops a batch in whose step something raised."""


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
    def __init__(self, model: nn.Module, *, end_tokens: frozenset[int], max_rows: int, samplers: Samplers) -> None:
        self._generator: Any = BatchGenerator(  # mlx-lm is untyped; the seam ends here.
            model,
            stop_tokens=[[token] for token in end_tokens],
            completion_batch_size=max_rows,
            prefill_batch_size=max_rows,
        )
        self._samplers = samplers
        self._masks = Masks(end_tokens)
        self._rows: dict[int, _Row] = {}
        """By the generator's uid."""
        self._joining: set[int] = set()
        """Uids that begin with the next step, whose first token the step after it tells."""
        self._silent: set[int] = set()
        """Uids that have begun and told no token."""
        self._steps = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def stream_count(self) -> int:
        """Urgent rows whose answers are under way: they have told a token."""
        begun = self._rows.keys() - self._joining - self._silent
        return sum(self._rows[uid].spec.urgent for uid in begun)

    @property
    def shape(self) -> Shape:
        lengths = [len(row.spec.prompt) + self._steps - row.joined_at_step for row in self._rows.values()]
        return Shape(rows=len(lengths), longest=max(lengths, default=0), tokens=sum(lengths))

    def join(self, row: PrefillRow) -> None:
        spec = row.spec
        plan = RowPlan(spec, self._samplers, self._masks)
        (uid,) = self._generator.insert(
            [[spec.prompt[-1]]],
            max_tokens=[spec.max_tokens],
            caches=[row.cache],
            all_tokens=[list(spec.prompt[:-1])],
            samplers=[plan.sampler],
            logits_processors=[plan.processors],
        )
        self._rows[uid] = _Row(spec, plan, row.cached_tokens, self._steps)
        self._joining.add(uid)

    def step(self) -> tuple[list[RowToken], list[EndedRow]]:
        """Give every row that has begun one token; those that have joined since begin.

        Raises LostRowsError, or anything that MLX raises.
        """
        expected = len(self._rows) - len(self._joining)
        _, generated = self._generator.next()
        self._silent, self._joining = self._joining, set()
        self._steps += 1
        if len(generated) != expected:
            raise LostRowsError(f"{expected} rows were to advance and {len(generated)} did")
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

    def remove(self, row: int) -> EndedRow | None:
        """Forget a row; None where it is not held."""
        uid = next((uid for uid, held in self._rows.items() if held.spec.row == row), None)
        if uid is None:
            return None
        removed = self._rows.pop(uid)
        self._joining.discard(uid)
        self._silent.discard(uid)
        cache, tokens = self._generator.remove([uid], return_prompt_caches=True)[uid]
        return EndedRow(removed.spec, tuple(tokens), cache)

    def close(self) -> None:
        self._rows.clear()
        self._joining.clear()
        self._silent.clear()
        self._generator.close()
