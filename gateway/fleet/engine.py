"""One live Engine: a child that is started, watched, started again, and drained; and the line before its rows."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

from gateway.contracts.admin import EngineMemory, EngineState, EngineView
from gateway.contracts.variants import EngineSpec
from gateway.errors import EngineStartFailed, NotReady, QueueFull
from gateway.fleet.admission import Admission, Admitted, Refused, Waiting
from gateway.fleet.client import EngineClient, Generation
from gateway.fleet.process import EngineProcess, ProcessExit
from gateway.settings import EngineSettings, QueueSettings
from gateway.wire import Ready, Submit


class Engine:
    """Serves one EngineSpec for as long as it is wanted, whatever its processes do."""

    def __init__(
        self,
        spec: EngineSpec,
        *,
        settings: EngineSettings,
        queue: QueueSettings,
        environ: Mapping[str, str],
        on_exit: Callable[[EngineSpec, ProcessExit], None],
    ) -> None:
        self.spec = spec
        self.state = EngineState.STARTING
        self.detail = ""
        self.restarts = 0
        self.ready: Ready | None = None
        """What the latest process said of itself; None until the first is loaded."""
        self._settings = settings
        self._queue = queue
        self._environ = environ
        self._on_exit = on_exit
        self._admission = Admission(max_queued=queue.max_queued)
        self._tickets = itertools.count()
        self._places: dict[int, asyncio.Future[None]] = {}
        self._client: EngineClient | None = None
        self._memory = EngineMemory()
        self._ready_at_s = 0.0
        self._last_used_s = time.monotonic()
        self._idle = asyncio.Event()
        self._idle.set()
        self._first_start: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._supervision = asyncio.create_task(self._supervise())

    @property
    def serving(self) -> bool:
        """Whether a request may be given to it, now or in its line."""
        return self.state in {EngineState.READY, EngineState.RESTARTING, EngineState.DRAINING}

    @property
    def idle_s(self) -> float:
        """Seconds since its last request ended; 0 while one runs or waits."""
        return time.monotonic() - self._last_used_s if self._idle.is_set() else 0.0

    @property
    def running_count(self) -> int:
        return self._admission.running_count

    @property
    def waiting_count(self) -> int:
        return self._admission.waiting_count

    async def started(self) -> None:
        """Wait until it is ready for the first time. Raises EngineStartFailed."""
        await asyncio.shield(self._first_start)

    @asynccontextmanager
    async def generate(self, submit: Submit) -> AsyncGenerator[Generation]:
        """Wait for a row, then run the request on it; the row is free when the context is left.

        Raises QueueFull or NotReady from the line, InvalidRequest or EngineError from the engine.
        """
        ticket = next(self._tickets)
        await self._take_place(ticket)
        try:
            if self._client is None:
                raise NotReady("The engine is being restarted.")
            async with self._client.generate(submit) as generation:
                yield generation
        finally:
            self._admit(self._admission.finish(ticket, now_s=time.monotonic()))
            self._note_use()

    async def stop(self, *, drain_timeout_s: float) -> None:
        """Let the requests that it has end, up to the limit, then end its process."""
        self.state = EngineState.DRAINING
        try:
            async with asyncio.timeout(drain_timeout_s):
                await self._idle.wait()
        except TimeoutError:
            self.detail = f"requests were cut after {drain_timeout_s:g} s"
        self.state = EngineState.UNLOADING
        self._supervision.cancel()
        await asyncio.wait([self._supervision])
        if self._client is not None:
            await self._client.stop(self._settings.stop_timeout_s)
        self._release_line(NotReady("The engine was unloaded; ask again."))

    def view(self, *, variants: tuple[str, ...], predicted_bytes: int) -> EngineView:
        ready = self.ready
        return EngineView(
            engine_digest=self.spec.digest,
            variants=variants,
            state=self.state,
            detail=self.detail,
            pid=self._client.pid if self._client else None,
            device=ready.device if ready else "",
            dequantised=bool(ready and ready.dequantised),
            load_time_s=ready.load_time_s if ready else None,
            active_after_load_bytes=ready.active_after_load_bytes if ready else None,
            predicted_bytes=predicted_bytes,
            memory=self._memory if self._client else EngineMemory(),
            rows=self._client.rows if self._client else 0,
            queued=self.waiting_count,
            restarts=self.restarts,
            uptime_s=time.monotonic() - self._ready_at_s if self._client else 0.0,
        )

    # --- the process ---

    async def _supervise(self) -> None:
        """Keep a process running: the first start must work, later ones are tried until they do."""
        backoff_s = self._settings.restart_backoff_initial_s
        while True:
            try:
                client = await self._start()
            except EngineStartFailed as error:
                self.detail = error.message
                if not self._first_start.done():
                    self.state = EngineState.FAILED
                    self._first_start.set_exception(error)
                    self._first_start.exception()  # nobody may be waiting; that is no unhandled error
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
        process = await EngineProcess.spawn(self.spec, self._settings, self._environ)
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
        if not self._first_start.done():
            self._first_start.set_result(None)
        self._admit(self._admission.resize(self.spec.max_rows, now_s=time.monotonic()))
        return await client.exited()

    def _close_rows(self) -> None:
        """Let nobody in until another process is ready; those in line stay there."""
        self._admission.resize(0, now_s=time.monotonic())
        self._client = None
        if self.state is EngineState.READY:
            self.state = EngineState.RESTARTING

    def _observe(self, memory: EngineMemory) -> None:
        self._memory = memory

    # --- the line ---

    async def _take_place(self, ticket: int) -> None:
        self._idle.clear()
        match self._admission.arrive(ticket, now_s=time.monotonic()):
            case Admitted():
                return
            case Refused(retry_after_s=retry_after_s):
                self._note_use()
                raise QueueFull(
                    f"{self.waiting_count} requests wait already, which is queue.max_queued; ask again later.",
                    retry_after_s=retry_after_s,
                )
            case Waiting():
                await self._wait_in_line(ticket)

    async def _wait_in_line(self, ticket: int) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._places[ticket] = place
        try:
            async with asyncio.timeout(self._queue.timeout_s):
                await place
        except BaseException as error:
            self._leave_line(ticket, place)
            if not isinstance(error, TimeoutError):
                raise
            raise QueueFull(
                f"No row was free for {self._queue.timeout_s:g} s (queue.timeout_s); ask again later.",
                retry_after_s=self._admission.expected_wait_s(self.waiting_count),
            ) from None
        finally:
            self._places.pop(ticket, None)

    def _leave_line(self, ticket: int, place: asyncio.Future[None]) -> None:
        """Give up a place, or the row where it was admitted in the very moment of giving up."""
        admitted = place.done() and not place.cancelled() and place.exception() is None
        if admitted:
            self._admit(self._admission.finish(ticket, now_s=time.monotonic()))
        else:
            self._admission.leave(ticket)
        self._note_use()

    def _admit(self, tickets: list[int]) -> None:
        for ticket in tickets:
            self._places[ticket].set_result(None)

    def _release_line(self, error: NotReady) -> None:
        for place in self._places.values():
            if not place.done():
                place.set_exception(error)

    def _note_use(self) -> None:
        self._last_used_s = time.monotonic()
        if not self.running_count and not self.waiting_count:
            self._idle.set()
