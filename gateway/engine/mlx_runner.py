"""mlx-lm's BatchGenerator behind the runner's seam: requests decode together, and join and leave between steps."""

from collections.abc import Iterable, Sequence
from typing import Any

from mlx import nn
from mlx_lm.generate import BatchGenerator

from gateway.contracts.admin import EngineMemory
from gateway.contracts.chat import FinishReason
from gateway.engine import device
from gateway.engine.runner import RowSpec, RowToken
from gateway.engine.sampling import Samplers

PREFILL_ROWS = 8
"""Prompts that are worked on in one step at most: mlx-lm's default."""


class LostRowsError(Exception):
    """Rows of ours are held and none advances: mlx-lm drops a batch in whose step something raised."""


class MlxRunner:
    def __init__(self, model: nn.Module, *, end_tokens: Iterable[int], max_rows: int, prefill_step_tokens: int) -> None:
        """`end_tokens` end a row wherever they appear."""
        self._generator: Any = BatchGenerator(  # mlx-lm is untyped; the seam ends here.
            model,
            stop_tokens=[[token] for token in end_tokens],
            completion_batch_size=max_rows,
            prefill_batch_size=min(PREFILL_ROWS, max_rows),
            prefill_step_size=prefill_step_tokens,
        )
        self._samplers = Samplers()
        self._rows: dict[int, int] = {}
        """Our row for each of the generator's uids."""

    def insert(self, spec: RowSpec) -> None:
        sampler = self._samplers.of(temperature=spec.temperature, top_p=spec.top_p, seed=spec.seed)
        (uid,) = self._generator.insert([list(spec.prompt)], max_tokens=[spec.max_tokens], samplers=[sampler])
        self._rows[uid] = spec.row

    def step(self) -> Sequence[RowToken]:
        if not self._rows:
            return []
        progressed, generated = self._generator.next()
        if not progressed and not generated:
            raise LostRowsError(f"{len(self._rows)} rows are held and none advances")
        tokens: list[RowToken] = []
        for response in generated:
            reason = FinishReason(response.finish_reason) if response.finish_reason else None
            row = self._rows.pop(response.uid) if reason else self._rows[response.uid]
            tokens.append(RowToken(row, response.token, reason))
        return tokens

    def remove(self, row: int) -> None:
        uids = [uid for uid, held in self._rows.items() if held == row]
        self._generator.remove(uids)
        for uid in uids:
            del self._rows[uid]

    def memory(self) -> EngineMemory:
        return device.memory()

    def close(self) -> None:
        self._rows.clear()
        self._generator.close()
