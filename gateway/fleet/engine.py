"""One live Engine: the line before its rows, the requests on them, and the process that a supervisor keeps running."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from gateway.contracts.admin import EngineMemory, EngineState, EngineView, EngineWork, PrefixCacheCounts
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.variants import EngineSpec
from gateway.errors import GatewayError, NotReady
from gateway.fleet.failure import Failure
from gateway.fleet.generation import Generation, Surroundings, Terms
from gateway.fleet.line import Claim, Line
from gateway.fleet.memory import MachineMemory
from gateway.fleet.process import Spawn
from gateway.fleet.supervisor import Supervisor
from gateway.settings import EngineSettings
from gateway.telemetry.metrics import Metrics
from gateway.wire import Identity, Ready, Request


class Engine:
    """Serves one EngineSpec for as long as it is wanted, whatever its processes do."""

    def __init__(
        self,
        spec: EngineSpec,
        *,
        settings: EngineSettings,
        line: Line,
        memory: MachineMemory,
        spawn: Spawn,
        on_failure: Callable[[EngineSpec, Failure], None],
        metrics: Metrics,
    ) -> None:
        self.spec = spec
        self.line = line
        self._ends: EngineState | None = None
        self._supervisor = Supervisor(
            spec,
            settings=settings,
            line=line,
            memory=memory,
            spawn=spawn,
            metrics=metrics,
            on_failure=lambda failure: on_failure(spec, failure),
        )
        self._around = Surroundings(
            spec=spec,
            settings=settings,
            line=line,
            supervisor=self._supervisor,
            memory=memory,
            metrics=metrics,
        )

    @property
    def state(self) -> EngineState:
        return self._ends or self._supervisor.state

    @property
    def detail(self) -> str:
        """What is wrong, where something is."""
        return self._supervisor.detail

    @property
    def restarts(self) -> int:
        return self._supervisor.restarts

    @property
    def ready(self) -> Ready | None:
        """What the latest process said of itself; None until the first is loaded."""
        return self._supervisor.ready

    @property
    def memory(self) -> EngineMemory:
        """As its process last reported it."""
        return self._supervisor.memory

    @property
    def prefix_cache(self) -> PrefixCacheCounts:
        """Likewise."""
        return self._supervisor.prefix_cache

    @property
    def decoded_tokens(self) -> int:
        """Of all its processes."""
        return self._supervisor.decoded_tokens

    @property
    def first_start(self) -> asyncio.Future[None]:
        return self._supervisor.first_start

    @property
    def pid(self) -> int | None:
        process = self._supervisor.process
        return process.pid if process else None

    @property
    def idle_s(self) -> float:
        """Seconds since its last request ended; 0 while one runs or waits, or while it starts."""
        return self.line.idle_s if self.state is not EngineState.STARTING else 0.0

    async def started(self) -> None:
        """Wait until it is ready for the first time. Raises EngineStartFailed."""
        await asyncio.shield(self.first_start)

    @asynccontextmanager
    async def generate(
        self,
        submit: Request,
        scheduling_class: SchedulingClass,
        claim: Claim | None = None,
        *,
        terms: Terms | None = None,
    ) -> AsyncGenerator[Generation]:
        """Have the request measured, wait for a row, then run it; all of it is given back when the context is left.

        Raises as `Generation.begin`.
        """
        generation = Generation(self._around, submit, scheduling_class, claim=claim, terms=terms or Terms())
        try:
            await generation.begin()
            yield generation
        finally:
            generation.end()

    async def identify(self, timeout_s: float) -> Identity:
        """Return what its process says that it has loaded, waiting for one. Raises EngineError, NotReady."""
        try:
            async with asyncio.timeout(timeout_s):
                return await (await self._supervisor.client()).identify()
        except TimeoutError:
            raise NotReady(f"The engine did not say within {timeout_s:g} s what it has loaded.") from None

    def drain(self) -> None:
        """Show that it is about to go. Who may come in yet is the fleet's business."""
        self._ends = EngineState.DRAINING

    def turn_out(self) -> None:
        """Send those away who hold no row and may be answered by another engine."""
        self.line.turn_out()

    def resume(self) -> None:
        """Stay after all."""
        self._ends = None

    async def drained(self, timeout_s: float | None) -> bool:
        """Wait until nobody runs or waits here, and say whether that came to pass within the limit."""
        try:
            async with asyncio.timeout(timeout_s):
                # Somebody may have come between the last one's end and this task's turn.
                while self.line.is_busy:
                    await self.line.empty()
        except TimeoutError:
            return False
        return True

    def cut(self, error: GatewayError) -> None:
        """End everybody who runs or waits here with this error."""
        self.line.dissolve(error)
        if (process := self._supervisor.process) is not None:
            process.cut(error)

    def kill(self) -> None:
        """End its process now."""
        if (process := self._supervisor.process) is not None:
            process.kill()

    def close(self) -> None:
        """Take nobody any more: it is unloaded next."""
        self._ends = EngineState.UNLOADING

    async def unload(self, *, at_once: bool = False) -> None:
        """End its process, politely unless at once; whoever is still here is told so."""
        self.close()
        await self._supervisor.stop(at_once=at_once)
        self.line.close()

    def view(self, *, variants: tuple[str, ...], predicted_bytes: int) -> EngineView:
        ready, process = self.ready, self._supervisor.process
        return EngineView(
            engine_digest=self.spec.digest,
            variants=variants,
            state=self.state,
            detail=self.detail,
            pid=self.pid,
            device=ready.device if ready else "",
            dequantised=bool(ready and ready.dequantised),
            load_time_s=ready.load_time_s if ready else None,
            active_after_load_bytes=ready.active_after_load_bytes if ready else None,
            predicted_bytes=predicted_bytes,
            memory=self.memory if process else EngineMemory(),
            work=EngineWork(
                decode_steps=self._supervisor.decode_steps,
                decoded_tokens=self._supervisor.decoded_tokens,
                admitted=dict(self.line.admitted),
                running=dict(self.line.running),
            ),
            rows=process.rows if process else 0,
            max_rows=self.spec.max_rows,
            one_at_a_time=self.spec.one_at_a_time,
            queued=self.line.admission.waiting_count,
            restarts=self.restarts,
            uptime_s=self._supervisor.uptime_s,
            last_failure=self._supervisor.last_failure,
            breaker=self._supervisor.breaker.state,
            retry_after_s=self._supervisor.retry_after_s,
        )
