"""Evaluations that go on, as canary tells of them while they run: in memory, for metrics and the console."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from gateway.contracts.progress import RunProgress, RunView

_RUNS_LIMIT = 32
"""At a time. Beyond it, the one that was longest not heard of is forgotten."""


class _Run(msgspec.Struct, frozen=True, kw_only=True):
    started_at: str
    heard_s: float
    progress: RunProgress


class Runs:
    def __init__(self, *, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """A run counts as over when it has told nothing of itself for `timeout_s`: canary may have been killed."""
        self._timeout_s = timeout_s
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        """By id, the one heard of last at the end."""

    def hear(self, progress: RunProgress) -> None:
        """Note how far a run is, or that it has ended."""
        before = self._runs.pop(progress.id, None)
        if progress.ended:
            return
        started_at = before.started_at if before else datetime.now(UTC).isoformat(timespec="seconds")
        self._runs[progress.id] = _Run(started_at=started_at, heard_s=self._clock(), progress=progress)
        if len(self._runs) > _RUNS_LIMIT:
            del self._runs[next(iter(self._runs))]

    def current(self) -> tuple[RunView, ...]:
        """Return the runs that go on, the one heard of last at the end."""
        now_s = self._clock()
        self._runs = {name: run for name, run in self._runs.items() if now_s - run.heard_s <= self._timeout_s}
        return tuple(
            RunView(started_at=run.started_at, heard_s=round(now_s - run.heard_s, 3), progress=run.progress)
            for run in self._runs.values()
        )
