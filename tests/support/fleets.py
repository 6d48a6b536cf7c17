"""A Fleet with real engine processes, of scripted models, in the event loop of a test."""

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.variants import EngineSpec
from gateway.fleet.engine import Engine
from gateway.fleet.failure import Failure
from gateway.fleet.fleet import Fleet
from gateway.fleet.generation import Terms
from gateway.models import read_model_directory
from gateway.settings import EngineSettings, MemorySettings, QueueSettings, Settings
from gateway.telemetry.metrics import Metrics
from tests.support.engine_client import submit
from tests.support.served import NoCache

WHOLE = Terms(whole=True)
PATIENCE_S = 30.0
"""Long enough for a machine that does a great deal else; what takes it is a failure."""
QUICK = EngineSettings(restart_backoff_initial_s=0.05, restart_backoff_max_s=0.2, stop_timeout_s=1)


def spec_of(directory: Path, *, max_rows: int = 4) -> EngineSpec:
    return read_model_directory(
        directory, max_rows=max_rows, digest_cache=NoCache(), on_progress=lambda _share, _message: None
    ).engine


@dataclass
class Bench:
    """A fleet, and what failed in it."""

    fleet: Fleet
    metrics: Metrics
    failures: list[Failure] = field(default_factory=list[Failure])
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def answer(
        self,
        spec: EngineSpec,
        text: str,
        *,
        terms: Terms | None = None,
        scheduling_class: SchedulingClass = SchedulingClass.INTERACTIVE,
        max_tokens: int | None = None,
    ) -> str:
        """Return the text of one answer, as its client gets it."""
        request = submit(f"r{next(self._numbers)}", text, max_completion_tokens=max_tokens)
        async with self.fleet.generate(spec, request, scheduling_class, terms) as generation:
            deltas = [delta async for delta in generation]
        return deltas[-1].text if terms is not None and terms.whole else "".join(delta.text for delta in deltas)

    def started(self, spec: EngineSpec, text: str, *, terms: Terms | None = None) -> asyncio.Task[str]:
        return asyncio.create_task(self.answer(spec, text, terms=terms))


@asynccontextmanager
async def fleet_of(
    state_dir: Path,
    *,
    engine: EngineSettings = QUICK,
    queue: QueueSettings | None = None,
    memory: MemorySettings | None = None,
    metrics: Metrics | None = None,
) -> AsyncGenerator[Bench]:
    settings = Settings(
        state_dir=str(state_dir), engine=engine, queue=queue or QueueSettings(), memory=memory or MemorySettings()
    )
    metrics = metrics or Metrics()
    failures: list[Failure] = []
    fleet = Fleet(
        settings, environ=os.environ, on_failure=lambda _spec, failure: failures.append(failure), metrics=metrics
    )
    try:
        yield Bench(fleet, metrics, failures)
    finally:
        await fleet.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.005)


def pid_of(engine: Engine) -> int:
    pid = engine.pid
    assert pid is not None
    return pid


def running(engine: Engine) -> int:
    return engine.line.admission.running_count
