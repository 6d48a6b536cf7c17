"""Prompts on their way into a KV cache, a chunk a step, before their rows decode."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import msgspec
from mlx import nn
from mlx_lm.generate import PromptProcessingBatch
from mlx_lm.models.cache import make_prompt_cache

from gateway.engine.kv_run import can_be_cut, growths
from gateway.engine.runner import RowSpec


class Chunk(msgspec.Struct, frozen=True):
    tokens: int = 0
    duration_s: float = 0.0
    """Of it alone: the steps that were under way, behind which it stood, are not counted."""


class PrefillRow:
    def __init__(self, model: nn.Module, spec: RowSpec, cache: list[Any], cached_tokens: int) -> None:
        """`cache` holds the prompt's first `cached_tokens`; with 0 it is ignored."""
        self.spec = spec
        self.cached_tokens = cached_tokens
        self.cache: list[Any] = cache if cached_tokens else make_prompt_cache(model)
        """One row's, one entry a layer."""
        self.done_tokens = cached_tokens
        self.kept_tokens = cached_tokens
        """Of them, those that are in the prefix cache."""
        if can_be_cut(self.cache):
            for layer, growth in zip(self.cache, growths(len(self.cache)), strict=True):
                layer.step = self.left_tokens + growth  # so that it grows once, for all that is to come

    @property
    def left_tokens(self) -> int:
        """What is to be computed but for the last token, which is decoding's first."""
        return len(self.spec.prompt) - 1 - self.done_tokens

    def piece_tokens(self, most: int) -> int:
        """Return how many to compute next so that what is left is cut into as few pieces as may be, of one size."""
        return math.ceil(self.left_tokens / max(1, math.ceil(self.left_tokens / most)))


def advance(model: nn.Module, rows: Sequence[PrefillRow], budget_tokens: int, *, clock: Callable[[], float]) -> Chunk:
    """Work on the next tokens of one row, or on all that is left of several.

    Several are padded to the longest, so they should be alike.
    """
    rows = [row for row in rows if row.left_tokens]
    if not rows:
        return Chunk()
    started_s = clock()
    if len(rows) == 1:
        (row,) = rows
        count = min(budget_tokens, row.left_tokens)
        # Built while the device is at work on what came before, and sent behind that.
        model(mx.array([row.spec.prompt[row.done_tokens : row.done_tokens + count]]), cache=row.cache)
        waited_s = _wait(clock)
        mx.eval([layer.state for layer in row.cache])  # pyright: ignore[reportUnknownMemberType] - its stub types no arguments
        row.done_tokens += count
    else:
        waited_s = _wait(clock)
        count = _finish(model, rows)
    return Chunk(count, clock() - started_s - waited_s)


def _wait(clock: Callable[[], float]) -> float:
    """Wait for what the stream has under way, and return how long that was."""
    began_s = clock()
    mx.synchronize()
    return clock() - began_s


def _finish(model: nn.Module, rows: Sequence[PrefillRow]) -> int:
    """Compute all that is left of several rows together, and return how many tokens that was."""
    pieces = [list(row.spec.prompt[row.done_tokens : -1]) for row in rows]
    batch = PromptProcessingBatch(
        model,
        list(range(len(rows))),
        [row.cache for row in rows],
        prefill_step_size=max(map(len, pieces)),
    )
    batch.prompt(pieces)
    for at, row in enumerate(rows):
        row.cache = batch.extract_cache(at)
        row.done_tokens += len(pieces[at])
    return sum(map(len, pieces))
