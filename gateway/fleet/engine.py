"""One live Engine: a child that is started, watched, started again, and drained; and the line before its rows."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.contracts.admin import EngineMemory, EngineState, EngineView, PrefixCacheCounts
from gateway.contracts.scheduling import RefusalReason, SchedulingClass
from gateway.contracts.variants import EngineSpec
from gateway.errors import EngineCrashed, EngineStartFailed, NotReady, QueueFull, UnavailableError
from gateway.fleet.client import EngineClient, Generation
from gateway.fleet.line import Line, Place
from gateway.fleet.memory import MachineMemory
from gateway.fleet.process import EngineProcess, ProcessExit
from gateway.settings import EngineSettings
from gateway.telemetry.metrics import Metrics
from gateway.wire import Ready, Score, Step, Submit

_RETRY_AFTER_START_S = 5.0


class Engine:
    """Serves one EngineSpec for as long as it is wanted, whatever its processes do."""

    def __init__(
        self,
        spec: EngineSpec,
        *,
        settings: EngineSettings,
        line: Line,
        memory: MachineMemory,
        environ: Mapping[str, str],
        on_exit: Callable[[EngineSpec, ProcessExit], None],
        metrics: Metrics,
    ) -> None:
        self.spec = spec
        self._digest = spec.digest
        self.state = EngineState.STARTING
        self.detail = ""
        self.restarts = 0
        self.ready: Ready | None = None
        """What the latest process said of itself; None until the first is loaded."""
        self.line = line
        self.memory = EngineMemory()
        """As its process last reported it."""
        self.prefix_cache = PrefixCacheCounts()
        """Likewise."""
        self._settings = settings
        self._machine = memory
        self._environ = environ
        self._on_exit = on_exit
        self._metrics = metrics
        self._client: EngineClient | None = None
        self._ready_at_s = 0.0
        loop = asyncio.get_running_loop()
        self.first_start: asyncio.Future[None] = loop.create_future()
        self._up: asyncio.Future[EngineClient] = loop.create_future()
        """The process that requests go to, now or as soon as there is one."""
        self._supervision = asyncio.create_task(self._supervise())

    @property
    def pid(self) -> int | None:
        return self._client.pid if self._client else None

    @property
    def idle_s(self) -> float:
        """Seconds since its last request ended; 0 while one runs or waits, or while it starts."""
        return self.line.idle_s if self.state is not EngineState.STARTING else 0.0

    async def started(self) -> None:
        """Wait until it is ready for the first time. Raises EngineStartFailed."""
        await asyncio.shield(self.first_start)

    @asynccontextmanager
    async def generate(self, submit: Submit | Score, scheduling_class: SchedulingClass) -> AsyncGenerator[Generation]:
        """Have the request measured, wait for a row, then run it; the row is free when the context is left.

        Raises QueueFull, NotReady or MemoryPressure from the line, InvalidRequest or EngineError from the engine.
        """
        place = self.line.enter(scheduling_class)
        async with AsyncExitStack() as stack:
            stack.callback(self._leave, place)
            yield await self._turn(stack, submit, place)

    async def stop(self, *, drain_timeout_s: float) -> None:
        """Let the requests that it has end, up to the limit, then end its process."""
        self.state = EngineState.DRAINING
        try:
            async with asyncio.timeout(drain_timeout_s):
                await self.line.empty()
        except TimeoutError:
            self.detail = f"requests were cut after {drain_timeout_s:g} s"
        self.state = EngineState.UNLOADING
        self._supervision.cancel()
        await asyncio.wait([self._supervision])
        if self._client is not None:
            await self._client.stop(self._settings.stop_timeout_s)
        self._turn_away(NotReady("The engine was unloaded; ask again."))
        self.line.close()

    def view(self, *, variants: tuple[str, ...], predicted_bytes: int) -> EngineView:
        ready = self.ready
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
            memory=self.memory if self._client else EngineMemory(),
            rows=self._client.rows if self._client else 0,
            max_rows=self.spec.max_rows,
            one_at_a_time=self.spec.one_at_a_time,
            queued=self.line.admission.waiting_count,
            restarts=self.restarts,
            uptime_s=time.monotonic() - self._ready_at_s if self._client else 0.0,
        )

    # --- a request ---

    async def _turn(self, stack: AsyncExitStack, submit: Submit | Score, place: Place) -> Generation:
        """Wait until the request runs and return it; the stack ends it."""
        try:
            async with asyncio.timeout(place.timeout_s):
                generation = await self._park(stack, submit)
                max_tokens = self._completion_tokens(submit, generation, place)
                self.line.measure(place, generation.prompt_tokens + max_tokens)
                await place.admitted
                while generation.ended:  # the process that had measured it is gone
                    generation = await self._park(stack, submit)
        except TimeoutError:
            raise self._lost_patience(place) from None
        generation.start(max_tokens)
        return generation

    async def _park(self, stack: AsyncExitStack, submit: Submit | Score) -> Generation:
        """Have the process check and measure the request; where it dies meanwhile, the next one, once."""
        client = await asyncio.shield(self._up)
        try:
            return await stack.enter_async_context(client.submit(submit))
        except EngineCrashed:
            client = await asyncio.shield(self._up)
            return await stack.enter_async_context(client.submit(submit))

    def _completion_tokens(self, submit: Submit | Score, generation: Generation, place: Place) -> int:
        """Return how many tokens to set memory aside for. Raises MemoryPressure where there can never be enough."""
        max_tokens = generation.max_tokens
        if isinstance(submit, Submit) and submit.max_completion_tokens is None:
            longest = self._machine.longest_row_tokens(self.spec, self.ready) - generation.prompt_tokens
            max_tokens = max(1, min(max_tokens, self._settings.default_completion_tokens, longest))
        refusal = self._machine.refusal(self.spec, self.ready, generation.prompt_tokens + max_tokens)
        if refusal is not None:
            self._metrics.request_refused(place.scheduling_class, RefusalReason.MEMORY)
            raise refusal
        return max_tokens

    def _lost_patience(self, place: Place) -> UnavailableError:
        self._metrics.request_refused(place.scheduling_class, RefusalReason.DEADLINE)
        setting = f"{place.timeout_s:g} s, which is queue.{place.scheduling_class}.timeout_s"
        if self._client is None:
            return NotReady(
                f"The engine was not ready for {setting}; ask again later.", retry_after_s=_RETRY_AFTER_START_S
            )
        return QueueFull(
            f"The request waited for a row for {setting}; ask again later.",
            retry_after_s=self.line.admission.expected_wait_s(place.scheduling_class),
        )

    def _leave(self, place: Place) -> None:
        self.line.leave(place, settled=self._client is None or self._client.rows == 0)

    # --- the process ---

    async def _supervise(self) -> None:
        """Keep a process running: the first start must work, later ones are tried until they do."""
        backoff_s = self._settings.restart_backoff_initial_s
        while True:
            try:
                client = await self._start()
            except EngineStartFailed as error:
                self.detail = error.message
                if not self.first_start.done():
                    self._fail(error)
                    return
            else:
                exit_ = await self._serve(client)
                if time.monotonic() - self._ready_at_s > self._settings.restart_backoff_max_s:
                    backoff_s = self._settings.restart_backoff_initial_s
                self.detail = f"The engine process {exit_.sentence}"
                self._on_exit(self.spec, exit_)
            self.restarts += 1
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, self._settings.restart_backoff_max_s)

    async def _start(self) -> EngineClient:
        process = await EngineProcess.spawn(self.spec, self._settings, self._machine.share(self.spec), self._environ)
        client = EngineClient(process, on_step=self._observe, on_gone=self._close_rows)
        try:
            self.ready = await client.ready(self._settings.start_timeout_s)
        except BaseException:
            process.kill()
            await client.exited()
            raise
        return client

    async def _serve(self, client: EngineClient) -> ProcessExit:
        """Open the rows for as long as the process lives."""
        self._client = client
        self._ready_at_s = time.monotonic()
        self.detail = ""
        if self.state is not EngineState.DRAINING:
            self.state = EngineState.READY
        if not self.first_start.done():
            self.first_start.set_result(None)
        if self.ready is not None:
            self._machine.note_ready(self.ready)
        self._up.set_result(client)
        self.line.open(self.spec.max_rows)
        return await client.exited()

    def _close_rows(self) -> None:
        """Let nobody in until another process is ready; those in line stay there."""
        self._client = None
        self._machine.forget(self._digest)
        self.prefix_cache = PrefixCacheCounts()
        if self._up.done():
            self._up = asyncio.get_running_loop().create_future()
        self.line.open(0)
        if self.state is EngineState.READY:
            self.state = EngineState.RESTARTING

    def _fail(self, error: EngineStartFailed) -> None:
        self.state = EngineState.FAILED
        self.first_start.set_exception(error)
        self.first_start.exception()  # nobody may be waiting; that is no unhandled error
        self._turn_away(error)

    def _turn_away(self, error: EngineStartFailed | NotReady) -> None:
        """Answer everybody who waits, for a row or for the process."""
        if self._up.done():
            self._up = asyncio.get_running_loop().create_future()
        self._up.set_exception(error)
        self._up.exception()  # as above
        self.line.dissolve(error)

    def _observe(self, step: Step) -> None:
        self.memory = step.memory
        self.line.settle()
        self._machine.observe(self._digest, step.memory)
        self._metrics.engine_stepped(step, before=self.prefix_cache)
        self.prefix_cache = step.prefix_cache
