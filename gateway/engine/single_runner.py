"""mlx-lm's generators for one request behind the runner's seam: a quantised cache and a draft model have no batch."""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.generate import generate_step, speculative_generate_step

from gateway.contracts.admin import EngineMemory, PrefixCacheCounts
from gateway.contracts.chat import FinishReason
from gateway.contracts.variants import KvBits, KvGroupSize
from gateway.engine import device
from gateway.engine.masks import Masks
from gateway.engine.row_plan import RowPlan
from gateway.engine.runner import RowSpec, RowToken
from gateway.engine.sampling import Samplers

DRAFT_TOKENS = 3
"""Proposed before each check: the default of mlx-lm's server."""


class SingleRunner:
    """One row decodes; others wait in order. A step takes a whole prompt, for which there is nobody to hold up."""

    def __init__(
        self,
        model: nn.Module,
        *,
        draft: nn.Module | None,
        kv_bits: KvBits | None,
        kv_group_size: KvGroupSize,
        end_tokens: Iterable[int],
        prefill_step_tokens: int,
    ) -> None:
        self._model = model
        self._draft = draft
        self._options: dict[str, Any] = {
            "prefill_step_size": prefill_step_tokens,
            "kv_bits": kv_bits,
            "kv_group_size": kv_group_size,
            # From the first token: mlx-lm's default leaves 5,000 as they are, which is another model's answer.
            "quantized_kv_start": 0,
        }
        self._end_tokens = frozenset(end_tokens)
        self._samplers = Samplers()
        self._masks = Masks(self._end_tokens)
        self._waiting: deque[RowSpec] = deque()
        self._running: _Row | None = None

    def insert(self, spec: RowSpec) -> None:
        if self._running is None and not self._waiting:
            device.forget_peak()
        self._waiting.append(spec)

    def step(self) -> Sequence[RowToken]:
        if self._running is None:
            if not self._waiting:
                return []
            spec = self._waiting.popleft()
            plan = RowPlan(spec, self._samplers, self._masks)
            self._running = _Row(spec, plan, self._generate(spec, plan), self._end_tokens)
        token = self._running.next_token()
        if token.finish_reason:
            self._end()
        return [token]

    def remove(self, row: int) -> None:
        if self._running is not None and self._running.spec.row == row:
            self._end()
        self._waiting = deque(spec for spec in self._waiting if spec.row != row)

    def tidy(self) -> bool:
        return False

    def memory(self) -> EngineMemory:
        return device.memory()

    def prefix_counts(self) -> PrefixCacheCounts:
        return PrefixCacheCounts()

    def padding_ratio(self) -> float:
        return 0.0

    def close(self) -> None:
        self._waiting.clear()
        self._end()

    def _end(self) -> None:
        if self._running is not None:
            self._running.close()
            self._running = None

    def _generate(self, spec: RowSpec, plan: RowPlan) -> Generator[tuple[Any, ...]]:
        options: dict[str, Any] = {"max_tokens": spec.max_tokens, "sampler": plan.sampler, **self._options}
        prompt = mx.array(spec.prompt)
        # Grammars, penalties and log-probabilities follow each token that is drawn, and a draft's may be taken back.
        if self._draft is None or plan.processors or spec.top_logprobs is not None:
            return generate_step(prompt, self._model, logits_processors=plan.processors, **options)
        return speculative_generate_step(prompt, self._model, self._draft, num_draft_tokens=DRAFT_TOKENS, **options)


class _Row:
    def __init__(
        self, spec: RowSpec, plan: RowPlan, generated: Generator[tuple[Any, ...]], end_tokens: frozenset[int]
    ) -> None:
        """`generated` yields tuples that begin with a token id."""
        self.spec = spec
        self._plan = plan
        self._generated = generated
        self._end_tokens = end_tokens
        self._count = 0

    def next_token(self) -> RowToken:
        token = int(next(self._generated)[0])
        self._count += 1
        reason = None
        if token in self._end_tokens:
            reason = FinishReason.STOP
        elif self._count >= self.spec.max_tokens:
            reason = FinishReason.LENGTH
        return RowToken(self.spec.row, token, reason, self._plan.next_logprob())

    def close(self) -> None:
        """Free its cache, which the generator holds."""
        self._generated.close()
