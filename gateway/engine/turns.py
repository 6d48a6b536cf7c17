"""Which batches decode in this turn. Pure: durations come from outside.

The batch with the most rows steps every turn. The others, which are there because their rows are of another length,
share a seventh of the time, or their rows' share of all rows where that is more: so one long row slows the many short
ones beside it by a seventh, however dear its own steps are.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

BatchT = TypeVar("BatchT")

_LEAST_SHARE_RATIO = 0.15
_SMOOTHING_RATIO = 0.2
"""Weight of the newest duration."""


class _Record(msgspec.Struct):
    step_s: float | None = None
    """Running mean; None before the first step."""
    credit_s: float = 0.0


class Turns(Generic[BatchT]):
    def __init__(self) -> None:
        self._records: dict[BatchT, _Record] = {}

    def due(self, batches: Sequence[tuple[BatchT, int]]) -> list[BatchT]:
        """Return which of the batches step now, given each with its rows; there is at least one."""
        records = {batch: self._records.get(batch, _Record()) for batch, _ in batches}
        self._records = records
        main, main_rows = max(batches, key=lambda pair: pair[1])
        other_rows = sum(rows for _, rows in batches) - main_rows
        share_ratio = max(_LEAST_SHARE_RATIO, other_rows / (main_rows + other_rows))
        earned_s = (records[main].step_s or 0.0) * share_ratio / (1 - share_ratio)
        due = [main]
        records[main].credit_s = 0.0
        for batch, rows in batches:
            if batch is main:
                continue
            record = records[batch]
            record.credit_s += earned_s * rows / other_rows
            if record.step_s is None or record.credit_s >= record.step_s:
                record.credit_s = max(0.0, record.credit_s - (record.step_s or 0.0))
                due.append(batch)
        return due

    def observe(self, batch: BatchT, duration_s: float) -> None:
        """Learn how long a batch's step took."""
        record = self._records[batch]
        if record.step_s is None:
            record.step_s = duration_s
        else:
            record.step_s += _SMOOTHING_RATIO * (duration_s - record.step_s)
