"""Read every few seconds what the fleet does, so that whoever opens the console finds the last half hour there."""

import asyncio
import time

from gateway.contracts.scheduling import SchedulingClass
from gateway.finished_requests import FinishedRequests
from gateway.fleet.fleet import Fleet
from gateway.recent import INTERVAL_S, WINDOW_S, Reading, Recent, spreads


class Watcher:
    def __init__(self, fleet: Fleet, finished: FinishedRequests) -> None:
        self.recent = Recent()
        self._fleet = fleet
        self._finished = finished
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _watch(self) -> None:
        while True:
            self.recent.add(self._read())
            await asyncio.sleep(INTERVAL_S)

    def _read(self) -> Reading:
        now_s = time.time()
        first, later = spreads(self._finished.ended_since(now_s - WINDOW_S))
        return Reading(
            at_s=now_s,
            decoded_tokens={engine.spec.digest: engine.decoded_tokens for engine in self._fleet.engines},
            running=self._fleet.running_count,
            queued=sum(self._fleet.waiting_count(each) for each in SchedulingClass),
            used_bytes=self._fleet.memory.used_bytes,
            time_to_first_token=first,
            time_per_output_token=later,
        )
