"""Real models behind the runner's seam: prompts are computed a chunk a step, rows decode in batches of like length."""

import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.generate import generation_stream

from gateway.contracts.admin import EngineMemory, PrefixCacheCounts
from gateway.engine import device
from gateway.engine.buckets import place
from gateway.engine.decoding import Decoding, EndedRow
from gateway.engine.kv_run import bytes_per_token
from gateway.engine.prefill import Chunk, PrefillRow, advance
from gateway.engine.prefill_line import PrefillLine
from gateway.engine.prefill_pace import PrefillPace
from gateway.engine.prefix_cache import LONGEST_RUN_TOKENS, PrefixCache
from gateway.engine.runner import RowsError, RowSpec, RowToken
from gateway.engine.sampling import Samplers
from gateway.engine.turns import Turns

MOST_BUCKETS = 4


class MlxRunner:
    def __init__(
        self,
        model: nn.Module,
        *,
        end_tokens: Iterable[int],
        max_rows: int,
        prefill_step_tokens: int,
        step_bytes: int,
        prefixes: PrefixCache | None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`end_tokens` end a row wherever they appear; `step_bytes` of weights are read to decode one token.

        The prefix cache outlives its runner: the next one may go on with it.
        """
        self._model = model
        self._end_tokens = frozenset(end_tokens)
        self._max_rows = max_rows
        self._step_bytes = step_bytes
        self._prefixes = prefixes
        self._clock = clock
        self._samplers = Samplers()
        self._line = PrefillLine(model, prefixes)
        self._pace = PrefillPace(prefill_step_tokens)
        self._full_tokens = prefill_step_tokens
        """A prompt of more is long: to join others with it and to keep it copies so much KV that streams feel it."""
        self._computed: list[PrefillRow] = []
        """Rows of long prompts that are out of the line, and join in the next step."""
        self._joined: list[PrefillRow] = []
        """Rows whose prompts are still to be kept."""
        self._turns = Turns[Decoding]()
        self._batches: list[Decoding] = []

    @property
    def batches(self) -> Sequence[Decoding]:
        """Those that rows decode in now."""
        return [batch for batch in self._batches if batch]

    def insert(self, spec: RowSpec) -> None:
        if not self._holds_rows:
            device.forget_peak()
        self._line.add(spec)

    def step(self) -> Sequence[RowToken]:
        started_s = self._clock()
        streams = sum(batch.stream_count for batch in self._batches)
        with mx.stream(generation_stream):
            copied = self._copy(streams)
            # One burden a step: beside streams there is no chunk where a long prompt joins or is kept, and who joins
            # with a chunk begins in the step after it.
            if streams:
                self._begin()
            chunk = Chunk() if copied and streams else self._prefill(streams)
            if not streams:
                self._begin()
            # A chunk waits for the steps that are under way, so beside one a batch's duration is not its own.
            tokens = self._decode(learns=not chunk.tokens and not copied)
        if not copied:
            self._pace.observe(
                duration_s=self._clock() - started_s,
                streams=streams,
                prefill_tokens=chunk.tokens,
                chunk_s=chunk.duration_s,
            )
        return tokens

    def tidy(self) -> bool:
        return self._prefixes is not None and self._prefixes.tidy()

    def remove(self, row: int) -> None:
        if started := self._line.leave(row):
            self._keep(started.spec, started.done_tokens, started.cache)
        for computed in self._computed:
            if computed.spec.row == row:
                self._keep(computed.spec, computed.done_tokens, computed.cache)
        self._computed = [computed for computed in self._computed if computed.spec.row != row]
        for batch in self._batches:
            if ended := batch.remove(row):
                self._remember(ended)

    def memory(self) -> EngineMemory:
        return device.memory()

    def prefix_counts(self) -> PrefixCacheCounts:
        return self._prefixes.counts() if self._prefixes else PrefixCacheCounts()

    def padding_ratio(self) -> float:
        shapes = [batch.shape for batch in self.batches]
        held = sum(shape.rows * shape.longest for shape in shapes)
        return sum(shape.padding for shape in shapes) / held if held else 0.0

    def close(self) -> None:
        for batch in self._batches:
            batch.close()
        self._batches.clear()
        self._computed.clear()
        self._joined.clear()

    # --- inside a step ---

    @property
    def _holds_rows(self) -> bool:
        return bool(self._line or self._computed or any(self._batches))

    def _copy(self, streams: int) -> bool:
        """Keep the prompts of those that have joined, have the next long ones join, and tell whether any was long.

        Beside streams a prompt is kept a run at a time. Nobody else's is computed meanwhile, who might begin like it.
        """
        joined, self._joined = self._joined, []
        for row in joined:
            most = LONGEST_RUN_TOKENS if streams else row.done_tokens
            row.kept_tokens = min(row.kept_tokens + most, row.done_tokens)
            self._keep(row.spec, row.kept_tokens, row.cache)
        self._joined = [row for row in joined if row.kept_tokens < row.done_tokens]
        computed, self._computed = self._computed, []
        for row in computed:
            self._join(row)
        return bool(computed or self._joined) or any(map(self._is_long, joined))

    def _prefill(self, streams: int) -> Chunk:
        """Work on one chunk beside so many streams. Raises RowsError where that fails."""
        budget_tokens = self._pace.budget_tokens(streams=streams, prompts=len(self._line))
        free_rows = self._max_rows - sum(map(len, self._batches)) - self._line.started_count
        rows = self._line.next_rows(budget_tokens, free_rows=free_rows)
        if not rows:
            return Chunk()
        if len(rows) == 1 and budget_tokens < self._full_tokens:
            # The streams wait for each piece, and longest for the largest.
            budget_tokens = rows[0].piece_tokens(budget_tokens)
        try:
            chunk = advance(self._model, rows, budget_tokens, clock=self._clock)
        except Exception as error:  # whatever MLX raises: a prompt has touched its own row's cache only
            failed = [row.spec.row for row in rows]
            for row in failed:
                self._line.leave(row)
            raise RowsError(failed) from error
        for row in rows:
            if row.left_tokens:
                continue
            if streams and self._is_long(row):
                self._line.leave(row.spec.row)
                self._computed.append(row)
            else:
                self._join(row)
        return chunk

    def _join(self, row: PrefillRow) -> None:
        self._line.leave(row.spec.row)
        # With all that are alike and still in line, so that they do not part one by one.
        self._batch_for(row, alike=1 + self._line.alike_count(len(row.spec.prompt))).join(row)
        if self._prefixes is not None and row.spec.prefix_cache:
            self._joined.append(row)

    def _is_long(self, row: PrefillRow) -> bool:
        return len(row.spec.prompt) > self._full_tokens

    def _begin(self) -> None:
        """Have those that have joined begin: before any token is told, which would be lost where one of them fails."""
        for batch in self._batches:
            batch.begin()

    def _decode(self, *, learns: bool) -> list[RowToken]:
        """Step the batches whose turn it is, and where a step's duration is its own learn it."""
        batches = self.batches
        due = self._turns.due([(batch, len(batch)) for batch in batches]) if batches else ()
        tokens: list[RowToken] = []
        for batch in due:
            started_s = self._clock()
            told, ended = batch.step()
            if learns:
                self._turns.observe(batch, self._clock() - started_s)
            tokens += told
            for row in ended:
                self._remember(row)
        return tokens

    def _batch_for(self, row: PrefillRow, *, alike: int) -> Decoding:
        """Return the batch whose rows are most like this one in length, or an empty one.

        `alike` counts the rows that come with it.
        """
        used = self.batches
        index = place(
            len(row.spec.prompt),
            [batch.shape for batch in used],
            alike=alike,
            weights_in_tokens=self._step_bytes / bytes_per_token(row.cache),
            most_buckets=MOST_BUCKETS,
        )
        if index is not None:
            return used[index]
        empty = next((batch for batch in self._batches if not batch), None)
        if empty is None:
            empty = Decoding(self._model, end_tokens=self._end_tokens, samplers=self._samplers)
            self._batches.append(empty)
        return empty

    # --- the prefix cache ---

    def _remember(self, ended: EndedRow) -> None:
        self._keep(ended.spec, len(ended.tokens), ended.cache, ended.tokens)

    def _keep(self, spec: RowSpec, count: int, cache: Sequence[Any], tokens: tuple[int, ...] | None = None) -> None:
        """Keep the KV of a row's first tokens, which are its prompt's where none are given."""
        if self._prefixes is None or not spec.prefix_cache:
            return
        try:
            self._prefixes.keep((tokens or spec.prompt)[:count], cache)
        except Exception as error:  # noqa: BLE001 - whatever MLX raises: the rows can do without what is kept for others
            traceback.print_exception(error, file=sys.stderr)
            self._prefixes.clear()
