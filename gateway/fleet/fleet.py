"""All engines of this machine, by the digest of their EngineSpec: loaded within the memory budget, shared, unloaded."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Container, Coroutine, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import structlog

from gateway.contracts.admin import EngineState
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.variants import EngineSpec
from gateway.errors import CutBySwap, GatewayError, MemoryPressure, NotReady
from gateway.fleet.admission import admit_everywhere
from gateway.fleet.budget import Holding, resident_bytes
from gateway.fleet.door import Door
from gateway.fleet.engine import Engine
from gateway.fleet.failure import Failure
from gateway.fleet.generation import Generation, Terms
from gateway.fleet.leftovers import Leftovers
from gateway.fleet.line import Claim, Line, Rerouted
from gateway.fleet.memory import MachineMemory
from gateway.fleet.process import EngineProcess
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.request_id import of_request
from gateway.wire import Request

_log = structlog.get_logger()

_RETRY_AFTER_SWAP_S = 10.0


def _available_bytes() -> int:
    return psutil.virtual_memory().available


class Fleet:
    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[str, str],
        on_failure: Callable[[EngineSpec, Failure], None],
        metrics: Metrics,
        available_bytes: Callable[[], int] = _available_bytes,
    ) -> None:
        """`available_bytes` measures what the machine could give a process now."""
        self.memory = MachineMemory(settings)
        self._settings = settings
        self._spawn = partial(
            EngineProcess.spawn,
            settings=settings.engine,
            environ=environ,
            leftovers=Leftovers(Path(settings.state_dir)),
        )
        self._on_failure = on_failure
        self._metrics = metrics
        self._engines: dict[str, Engine] = {}
        self._retiring: dict[str, asyncio.Task[None]] = {}
        self._idle_unloaded: set[str] = set()
        self._doors: dict[str, Door] = {}
        self._exchanged: set[str] = set()
        self._is_reserved = False
        self._admits_soon = False
        self._closing: GatewayError | None = None
        self.available_bytes = available_bytes

    @property
    def engines(self) -> Iterable[Engine]:
        return self._engines.values()

    def find(self, spec: EngineSpec) -> Engine | None:
        return self._engines.get(spec.digest)

    def on_demand(self, spec: EngineSpec) -> bool:
        """Whether its engine was unloaded because nobody used it, and is loaded again for the next request."""
        return spec.digest in self._idle_unloaded and spec.digest not in self._engines

    @property
    def running_count(self) -> int:
        return sum(engine.line.admission.running_count for engine in self.engines)

    def waiting_count(self, scheduling_class: SchedulingClass) -> int:
        in_lines = sum(engine.line.admission.waiting_count_of(scheduling_class) for engine in self.engines)
        return in_lines + sum(door.waiting_count_of(scheduling_class) for door in self._doors.values())

    async def ensure(self, spec: EngineSpec) -> Engine:
        """Return the engine of this spec, loading it where it is not; wait until it is ready.

        Raises MemoryPressure with the arithmetic where it does not fit beside the others, NotReady while the memory is
        being cleared for another one, EngineStartFailed with the engine's sentence where it cannot load.
        """
        engine = await self.begin(spec)
        await engine.started()
        return engine

    async def begin(self, spec: EngineSpec) -> Engine:
        """Return the engine of this spec, which may be loading yet; one that was about to go stays. Raises as above."""
        engine = await self._find_or_load(spec)
        if engine.state is EngineState.DRAINING and (leaving := self._retiring.get(spec.digest)) is not None:
            leaving.cancel()
            engine.resume()
        return engine

    @contextmanager
    def exchanging(self, digests: set[str]) -> Generator[None]:
        """Keep these engines in the block, however idle they are."""
        self._exchanged = digests
        try:
            yield
        finally:
            self._exchanged = set()
            self._is_reserved = False

    def reserve(self) -> None:
        """Load nothing but the engines that are being exchanged, until they are: the memory is for these."""
        self._is_reserved = True

    def close_door(self, spec: EngineSpec) -> Door:
        """Have everybody wait outside who comes for this spec's engine, but for parts of answers that it has begun."""
        door = Door(self._settings.queue, wait_timeout_s=self._settings.swap.wait_timeout_s, metrics=self._metrics)
        self._doors[spec.digest] = door
        if self._closing is not None:
            door.dissolve(self._closing)
        return door

    def open_door(self, spec: EngineSpec) -> None:
        self._doors.pop(spec.digest).open()

    def is_exchanged(self, spec: EngineSpec) -> bool:
        """Whether requests for it wait outside until another engine has taken over."""
        return spec.digest in self._doors

    def planned_bytes(self) -> int:
        """Return the memory that is set aside for the engines and what they run."""
        return sum(self._holding(engine).held_bytes for engine in self.engines)

    def stop_admitting(self, error: GatewayError) -> None:
        """Send everybody away who waits for a door to open, now and later."""
        self._closing = error
        for door in self._doors.values():
            door.dissolve(error)

    def cut(self, error: GatewayError) -> None:
        """End every request with this error."""
        for engine in self.engines:
            engine.cut(error)

    @asynccontextmanager
    async def generate(
        self,
        spec: EngineSpec,
        submit: Request,
        scheduling_class: SchedulingClass,
        terms: Terms | None = None,
        claim: Claim | None = None,
    ) -> AsyncGenerator[Generation]:
        """Run one request on the engine of this spec, which is loaded for it where need be: it waits in line meanwhile.

        Raises as `Engine.generate`, MemoryPressure where the engine does not fit beside the others, and as `Door.wait`
        while it is being exchanged. A movable request is Rerouted after that; another goes to whatever engine of the
        spec there is then.
        """
        claim = claim or Claim()
        while not claim.bound and (door := self._doors.get(spec.digest)) is not None:
            await door.wait(scheduling_class, claim)
            if claim.movable:
                raise Rerouted
        engine = self._engines.get(spec.digest)
        if engine is None or engine.state is EngineState.UNLOADING:
            engine = await self._find_or_load(spec)
        async with engine.generate(submit, scheduling_class, terms=terms, claim=claim) as generation:
            yield generation

    def stay(self, spec: EngineSpec) -> AbstractContextManager[None]:
        """Keep the engine of this spec from having drained, between two parts of one answer."""
        engine = self._engines.get(spec.digest)
        return engine.line.stay() if engine is not None else nullcontext()

    def fits(self, spec: EngineSpec) -> bool:
        """Say whether the engine of this spec is loaded, or could be beside the others."""
        engine = self._engines.get(spec.digest)
        if engine is not None and engine.state is not EngineState.UNLOADING:
            return True
        try:
            self.check_fits(spec)
        except MemoryPressure:
            return False
        return True

    def check_fits(self, spec: EngineSpec, *, without: Container[str] = ()) -> None:
        """Raise MemoryPressure where the engine does not fit beside the others, those in `without` left out."""
        others = (engine for engine in self.engines if engine.spec.digest not in without)
        self.memory.check_load(spec, map(self._holding, others))

    def check_room(self, needed_bytes: int) -> None:
        """Raise MemoryPressure where a job of so many bytes does not fit beside the engines."""
        self.memory.check_job(needed_bytes, map(self._holding, self.engines))

    def leaving(self) -> list[Engine]:
        """Return the engines that go when their last answer has ended."""
        return [engine for digest in self._retiring if (engine := self._engines.get(digest)) is not None]

    def retire(self, spec: EngineSpec, *, drain_timeout_s: float | None = None) -> asyncio.Task[None]:
        """Unload an engine when its requests have ended; after the limit, where there is one, they are cut."""
        if (task := self._retiring.get(spec.digest)) is not None:
            return task
        engine = self._engines.get(spec.digest)
        if engine is not None:
            engine.drain()
        return self._note_retiring(spec.digest, self._retire(engine, drain_timeout_s))

    async def unload(self, engine: Engine, *, at_once: bool = False) -> None:
        """Unload an engine now, whoever is there; return when its process has ended."""
        engine.close()
        if (task := self._retiring.get(engine.spec.digest)) is not None:
            task.cancel()
            await asyncio.wait([task])
        await asyncio.wait([self._note_retiring(engine.spec.digest, self._unload(engine, at_once=at_once))])

    async def unload_unused(self, *, keep: Container[str]) -> None:
        """Unload the engines that nobody uses at the moment, but for those to keep and those that are being loaded."""
        unused = [it for it in self.engines if it.spec.digest not in keep and it.idle_s > 0]
        await asyncio.gather(*map(self.unload, unused))

    def retire_idle(self, *, incumbents: set[str]) -> None:
        """Unload the engines that have been idle for `engine.idle_unload_s`, or their own limit where they serve."""
        settings = self._settings.engine
        for digest, engine in list(self._engines.items()):
            limit_s = settings.incumbent_idle_unload_s if digest in incumbents else settings.idle_unload_s
            if digest in self._exchanged or digest in self._retiring:
                continue
            if limit_s is not None and engine.idle_s > limit_s:
                self._idle_unloaded.add(digest)
                engine.close()
                self._note_retiring(digest, self._unload(engine))

    def hurry(self) -> None:
        """Kill the processes: whoever waits for their end has waited long enough."""
        for engine in self.engines:
            engine.kill()

    async def close(self, *, at_once: bool = False) -> None:
        """Unload everything now: whoever closes a fleet has ended its requests."""
        await asyncio.gather(*(self.unload(engine, at_once=at_once) for engine in list(self.engines)))

    def predicted_bytes(self, spec: EngineSpec) -> int:
        return resident_bytes(spec, dequantise=False)

    async def _find_or_load(self, spec: EngineSpec) -> Engine:
        engine = self._engines.get(spec.digest)
        if engine is not None and engine.state is EngineState.UNLOADING:
            if (task := self._retiring.get(spec.digest)) is not None:
                await asyncio.wait([task])  # its memory comes back first
            engine = self._engines.get(spec.digest)
        return engine or self._load(spec)

    def _load(self, spec: EngineSpec) -> Engine:
        """Start an engine. Raises MemoryPressure, NotReady."""
        if self._is_reserved and spec.digest not in self._exchanged:
            raise NotReady(
                "The memory is being cleared for another model; ask again later.", retry_after_s=_RETRY_AFTER_SWAP_S
            )
        self.check_fits(spec)
        line = Line(
            self._settings.queue,
            kv_bytes_per_token=self.memory.kv_bytes_per_token(spec),
            on_change=self._admit_soon,
            metrics=self._metrics,
        )
        engine = Engine(
            spec,
            settings=self._settings.engine,
            line=line,
            memory=self.memory,
            spawn=self._spawn,
            on_failure=self._on_failure,
            metrics=self._metrics,
        )
        self._engines[spec.digest] = engine
        self._idle_unloaded.discard(spec.digest)
        engine.first_start.add_done_callback(lambda start: self._note_start(engine, start))
        predicted_bytes = self.predicted_bytes(spec)
        _log.info("engine_loading", **of_request(), engine=spec.digest, kind=spec.kind, predicted_bytes=predicted_bytes)
        return engine

    def _note_start(self, engine: Engine, start: asyncio.Future[None]) -> None:
        """Forget an engine that could not load."""
        error = None if start.cancelled() else start.exception()
        if isinstance(error, GatewayError) and self._engines.get(engine.spec.digest) is engine:
            del self._engines[engine.spec.digest]

    def _note_retiring(self, digest: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._retiring[digest] = task

        def forget(_: asyncio.Task[None]) -> None:
            if self._retiring.get(digest) is task:
                del self._retiring[digest]

        task.add_done_callback(forget)
        return task

    async def _retire(self, engine: Engine | None, drain_timeout_s: float | None) -> None:
        if engine is None:
            return
        if not await engine.drained(drain_timeout_s):
            engine.cut(CutBySwap("The answer was cut, because its engine is unloaded. Send it again."))
        await self._unload(engine)

    async def _unload(self, engine: Engine, *, at_once: bool = False) -> None:
        digest, pid = engine.spec.digest, engine.pid
        await engine.unload(at_once=at_once)
        if self._engines.get(digest) is engine:
            del self._engines[digest]
        self.memory.forget(digest)
        self._admit_soon()
        # A process that has ended holds nothing: that it has ended is all there is to verify.
        memory_returned = pid is None or not psutil.pid_exists(pid)
        _log.info("engine_unloaded", engine=digest, detail=engine.detail, memory_returned=memory_returned)

    def _holding(self, engine: Engine) -> Holding:
        holding = self.memory.holding(engine.spec, engine.ready)
        return replace(holding, kv_planned_bytes=engine.line.admission.held_kv_bytes)

    def _admit_soon(self) -> None:
        """Admit once for all who come, are measured or leave in one turn of the event loop."""
        if not self._admits_soon:
            self._admits_soon = True
            asyncio.get_running_loop().call_soon(self._admit)

    def _admit(self) -> None:
        """Let go who may, on every engine: a row that ends on one may be what another waits for."""
        self._admits_soon = False
        now_s = time.monotonic()
        lines = {engine.line.admission: engine.line for engine in self.engines}
        engines = [(engine.line.admission, self._holding(engine)) for engine in self.engines]
        for admission, ticket in admit_everywhere(engines, self.memory.machine, now_s=now_s):
            lines[admission].seat(ticket, now_s=now_s)
        for line in lines.values():
            line.wake_when_patience_ends(now_s)
