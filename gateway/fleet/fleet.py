"""All engines of this machine, by the digest of their EngineSpec: loaded within the memory budget, shared, unloaded."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import psutil
import structlog

from gateway.contracts.admin import EngineState
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.variants import EngineSpec
from gateway.errors import GatewayError
from gateway.fleet.admission import admit_everywhere
from gateway.fleet.budget import Holding, resident_bytes
from gateway.fleet.client import Generation
from gateway.fleet.engine import Engine
from gateway.fleet.line import Line
from gateway.fleet.memory import MachineMemory
from gateway.fleet.process import ProcessExit
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics
from gateway.wire import Score, Submit

_log = structlog.get_logger()


class Fleet:
    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[str, str],
        on_exit: Callable[[EngineSpec, ProcessExit], None],
        metrics: Metrics,
    ) -> None:
        self.memory = MachineMemory(settings)
        self._settings = settings
        self._environ = environ
        self._on_exit = on_exit
        self._metrics = metrics
        self._engines: dict[str, Engine] = {}
        self._retiring: dict[str, asyncio.Task[None]] = {}
        self._idle_unloaded: set[str] = set()

    @property
    def engines(self) -> Iterable[Engine]:
        return self._engines.values()

    def find(self, spec: EngineSpec) -> Engine | None:
        return self._engines.get(spec.digest)

    def on_demand(self, spec: EngineSpec) -> bool:
        """Whether its engine was unloaded because nobody used it, and is loaded again for the next request."""
        return spec.digest in self._idle_unloaded and spec.digest not in self._engines

    def waiting_count(self, scheduling_class: SchedulingClass) -> int:
        return sum(engine.line.admission.waiting_count_of(scheduling_class) for engine in self.engines)

    async def ensure(self, spec: EngineSpec) -> Engine:
        """Return the engine of this spec, loading it where it is not; wait until it is ready.

        Raises MemoryPressure with the arithmetic where it does not fit beside the others, EngineStartFailed with the
        engine's sentence where it cannot load.
        """
        engine = await self._find_or_load(spec)
        await engine.started()
        return engine

    @asynccontextmanager
    async def generate(
        self, spec: EngineSpec, submit: Submit | Score, scheduling_class: SchedulingClass
    ) -> AsyncGenerator[Generation]:
        """Run one request on the engine of this spec, which is loaded for it where need be: it waits in line meanwhile.

        Raises as `Engine.generate`, and MemoryPressure where the engine does not fit beside the others.
        """
        engine = self._engines.get(spec.digest)
        if engine is None or engine.state is EngineState.UNLOADING:
            engine = await self._find_or_load(spec)
        async with engine.generate(submit, scheduling_class) as generation:
            yield generation

    def retire(self, spec: EngineSpec, *, drain_timeout_s: float | None = None) -> asyncio.Task[None]:
        """Unload an engine when its requests have ended, `server.drain_timeout_s` at most."""
        digest = spec.digest
        if digest not in self._retiring:
            limit_s = self._settings.server.drain_timeout_s if drain_timeout_s is None else drain_timeout_s
            task = asyncio.create_task(self._retire(digest, limit_s))
            self._retiring[digest] = task
            task.add_done_callback(lambda _: self._retiring.pop(digest))
        return self._retiring[digest]

    def retire_idle(self, *, incumbents: set[str]) -> None:
        """Unload the engines that have been idle for `engine.idle_unload_s`, or their own limit where they serve."""
        settings = self._settings.engine
        for digest, engine in list(self._engines.items()):
            limit_s = settings.incumbent_idle_unload_s if digest in incumbents else settings.idle_unload_s
            if limit_s is not None and engine.idle_s > limit_s:
                self._idle_unloaded.add(digest)
                self.retire(engine.spec)

    async def close(self) -> None:
        """Unload everything now: whoever closes a fleet has ended its requests."""
        for engine in list(self._engines.values()):
            self.retire(engine.spec, drain_timeout_s=0)
        if self._retiring:
            await asyncio.wait(self._retiring.values())

    def predicted_bytes(self, spec: EngineSpec) -> int:
        return resident_bytes(spec, dequantise=False)

    async def _find_or_load(self, spec: EngineSpec) -> Engine:
        engine = self._engines.get(spec.digest)
        if engine is not None and engine.state is EngineState.UNLOADING:
            await asyncio.wait([self.retire(spec)])  # its memory comes back first
            engine = self._engines.get(spec.digest)
        return engine or self._load(spec)

    def _load(self, spec: EngineSpec) -> Engine:
        """Start an engine. Raises MemoryPressure."""
        self.memory.check_load(spec, (self._holding(engine) for engine in self.engines))
        line = Line(
            self._settings.queue,
            kv_bytes_per_token=self.memory.kv_bytes_per_token(spec),
            on_change=self._admit,
            metrics=self._metrics,
        )
        engine = Engine(
            spec,
            settings=self._settings.engine,
            line=line,
            memory=self.memory,
            environ=self._environ,
            on_exit=self._on_exit,
            metrics=self._metrics,
        )
        self._engines[spec.digest] = engine
        self._idle_unloaded.discard(spec.digest)
        engine.first_start.add_done_callback(lambda start: self._note_start(engine, start))
        _log.info("engine_loading", engine=spec.digest, kind=spec.kind, predicted_bytes=self.predicted_bytes(spec))
        return engine

    def _note_start(self, engine: Engine, start: asyncio.Future[None]) -> None:
        """Forget an engine that could not load."""
        error = None if start.cancelled() else start.exception()
        if isinstance(error, GatewayError):
            if self._engines.get(engine.spec.digest) is engine:
                del self._engines[engine.spec.digest]
            _log.error("engine_start_failed", engine=engine.spec.digest, code=error.code, detail=error.message)

    async def _retire(self, digest: str, drain_timeout_s: float) -> None:
        engine = self._engines.get(digest)
        if engine is None:
            return
        pid = engine.pid
        await engine.stop(drain_timeout_s=drain_timeout_s)
        self._engines.pop(digest, None)
        self.memory.forget(digest)
        self._admit()
        # A process that has ended holds nothing: that it has ended is all there is to verify.
        memory_returned = pid is None or not psutil.pid_exists(pid)
        _log.info("engine_unloaded", engine=digest, detail=engine.detail, memory_returned=memory_returned)

    def _holding(self, engine: Engine) -> Holding:
        holding = self.memory.holding(engine.spec, engine.ready)
        return replace(holding, kv_planned_bytes=engine.line.admission.held_kv_bytes)

    def _admit(self) -> None:
        """Let go who may, on every engine: a row that ends on one may be what another waits for."""
        now_s = time.monotonic()
        lines = {engine.line.admission: engine.line for engine in self.engines}
        engines = [(engine.line.admission, self._holding(engine)) for engine in self.engines]
        for admission, ticket in admit_everywhere(engines, self.memory.machine, now_s=now_s):
            lines[admission].seat(ticket, now_s=now_s)
        for line in lines.values():
            line.wake_when_patience_ends(now_s)
