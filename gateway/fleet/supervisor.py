"""Keep one process of one EngineSpec running: start it, learn how it failed, start it again, or rest."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence

import msgspec
import structlog

from gateway.contracts.admin import BreakerState, EngineMemory, EngineState, FailureReason, PrefixCacheCounts
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.variants import EngineSpec
from gateway.errors import EngineCrashed, EngineStartFailed, GatewayError, NotReady
from gateway.fleet.attempt import Attempt
from gateway.fleet.breaker import Breaker
from gateway.fleet.client import EngineClient
from gateway.fleet.failure import Cause, Failure, ProcessExit, failure_of
from gateway.fleet.line import Line
from gateway.fleet.memory import MachineMemory
from gateway.fleet.process import Spawn
from gateway.fleet.quarantine import Quarantine, content_of
from gateway.settings import EngineSettings
from gateway.telemetry.metrics import Metrics
from gateway.wire import Ready, Step

_log = structlog.get_logger()


class Supervisor:
    """The first start must work; a later one is tried until it does. It opens and closes the rows of the line."""

    def __init__(
        self,
        spec: EngineSpec,
        *,
        settings: EngineSettings,
        line: Line,
        memory: MachineMemory,
        spawn: Spawn,
        metrics: Metrics,
        on_failure: Callable[[Failure], None],
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`draw` gives numbers in [0, 1), for the pauses before a start."""
        self.state = EngineState.STARTING
        """STARTING, READY, RESTARTING or FAILED."""
        self.restarts = 0
        self.last_failure: FailureReason | None = None
        self.ready: Ready | None = None
        """What the latest process said of itself; None until the first is loaded."""
        self.memory = EngineMemory()
        """As its process last reported it."""
        self.prefix_cache = PrefixCacheCounts()
        """Likewise."""
        self.decode_steps = 0
        self.decoded_tokens = 0
        """Of all its processes."""
        self.breaker = Breaker(
            failures_limit=settings.breaker_failures,
            open_s=settings.breaker_open_s,
            stable_after_s=settings.stable_after_s,
            backoff_initial_s=settings.restart_backoff_initial_s,
            backoff_max_s=settings.restart_backoff_max_s,
        )
        self.quarantine = Quarantine(kept_s=settings.quarantine_s)
        self.process: EngineClient | None = None
        """The one that is ready, while there is one."""
        self._spec = spec
        self._digest = spec.digest
        self._settings = settings
        self._line = line
        self._machine = memory
        self._spawn = spawn
        self._metrics = metrics
        self._on_failure = on_failure
        self._draw = draw
        self._ready_at_s = 0.0
        self._starts_at_s = 0.0
        self._sentence = ""
        """What the last failure was, until a process is ready again."""
        self._failure: Failure | None = None
        self._stops = False
        loop = asyncio.get_running_loop()
        self.first_start: asyncio.Future[None] = loop.create_future()
        self._up: asyncio.Future[EngineClient] = loop.create_future()
        """The process that requests go to, now or as soon as there is one."""
        self._task = asyncio.create_task(self._supervise())

    @property
    def detail(self) -> str:
        """What is wrong, where something is."""
        if (retry_after_s := self.retry_after_s) is None:
            return self._sentence
        return (
            f"{self._sentence} It failed {self.breaker.failures} times in a row; requests are refused, and taken again "
            f"in {retry_after_s:.0f} s."
        )

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._ready_at_s if self.process else 0.0

    @property
    def retry_after_s(self) -> float | None:
        """Seconds until requests are taken again, where the breaker is open: the rest, and a load like the last."""
        if self.breaker.state is not BreakerState.OPEN:
            return None
        load_s = self.ready.load_time_s if self.ready else 0.0
        return max(0.0, self._starts_at_s - time.monotonic()) + load_s

    def refusal(self) -> NotReady | None:
        """Return why no request is taken at the moment, if none is."""
        retry_after_s = self.retry_after_s
        if retry_after_s is None:
            return None
        return NotReady(self.detail, code=ErrorCode.ENGINE_FAILING, retry_after_s=retry_after_s)

    async def client(self) -> EngineClient:
        """Return the process that takes requests, waiting for it. Raises what keeps it from coming."""
        while (client := await asyncio.shield(self._up)).gone:
            pass  # another is on its way, and so `_up` is another future
        return client

    def answered(self) -> None:
        """Note that a request came to its end: an engine that was on trial has proved itself."""
        if self.breaker.answered():
            self._line.open(self._spec.max_rows)

    async def stop(self, *, at_once: bool = False) -> None:
        """End the process, politely unless at once, and send everybody away who waits for it."""
        self._stops = True
        self._task.cancel()
        await asyncio.wait([self._task])
        if self.process is not None:
            await self.process.stop(0 if at_once else self._settings.stop_timeout_s)
        error = NotReady("The engine was unloaded; ask again.")
        if not self.first_start.done():
            self._fail(error)
        else:
            self._turn_away(error, for_good=True)

    # --- inside ---

    async def _supervise(self) -> None:
        while True:
            failure = await self._run_process()
            self.last_failure = failure.reason
            self._sentence = failure.sentence
            if not self.first_start.done():
                self.state = EngineState.FAILED
                self._on_failure(failure)
                self._fail(EngineStartFailed(failure.sentence))
                return
            lived_s = time.monotonic() - self._ready_at_s if not failure.loading else 0.0
            self.breaker.failed(lived_s=lived_s)
            pause_s = self.breaker.pause_s(self._draw())
            self._starts_at_s = time.monotonic() + pause_s
            self._on_failure(msgspec.structs.replace(failure, restart_in_s=pause_s))
            if (refusal := self.refusal()) is not None:
                self._turn_away(refusal)
            await asyncio.sleep(pause_s)
            self.breaker.starts()
            self.restarts += 1

    async def _run_process(self) -> Failure:
        """Return how one process failed, from its start to its end."""
        self._failure = None
        try:
            share = self._machine.share(self._spec)
            process = await self._spawn(self._spec, share)
        except OSError as error:
            sentence = f"No process can be started ({error.strerror}); the machine may be out of processes or memory."
            return Failure(reason=FailureReason.START_FAILED, sentence=sentence, loading=True)
        client = EngineClient(
            process,
            step_timeout_s=self._settings.step_timeout_s,
            chunk_tokens=self._settings.prefill_step_tokens if self._spec.one_at_a_time else None,
            on_step=self._observe,
            on_gone=lambda exit_, at_work: self._note_end(client, exit_, at_work),
        )
        try:
            self.ready = await client.ready(self._settings.start_timeout_s)
        except EngineStartFailed as error:
            process.kill()
            exit_ = await client.exited()
            cause = Cause(FailureReason.START_FAILED, error.message) if error.message else None
            return failure_of(exit_, loading=True, cause=cause)
        except asyncio.CancelledError:
            process.kill()
            await client.exited()
            raise
        self._serve(client)
        exit_ = await client.exited()
        return self._failure or failure_of(exit_, loading=False, cause=client.given_up)

    def _serve(self, client: EngineClient) -> None:
        """Open the rows; of an engine on trial, one."""
        self.process = client
        self.memory = EngineMemory()
        self._ready_at_s = time.monotonic()
        self._sentence = ""
        self.state = EngineState.READY
        if not self.first_start.done():
            self.first_start.set_result(None)
        if self.ready is not None:
            self._machine.note_ready(self.ready)
            self._tell_ready(client, self.ready)
        self._up.set_result(client)
        self._line.open(1 if self.breaker.state is BreakerState.HALF_OPEN else self._spec.max_rows)

    def _tell_ready(self, client: EngineClient, ready: Ready) -> None:
        _log.info(
            "engine_ready",
            engine=self._digest,
            pid=client.pid,
            device=ready.device,
            dequantised=ready.dequantised,
            load_time_s=round(ready.load_time_s, 3),
            active_after_load_bytes=ready.active_after_load_bytes,
            restarts=self.restarts,
        )

    def _note_end(self, client: EngineClient, exit_: ProcessExit, at_work: Sequence[Attempt]) -> GatewayError:
        """Close the rows, note who was there, and return what their requests are told."""
        failure = failure_of(exit_, loading=client is not self.process, cause=client.given_up)
        if client is self.process:
            self.process = None
            self._failure = msgspec.structs.replace(failure, memory=self.memory, request_count=len(at_work))
            self._machine.forget(self._digest)
            self.prefix_cache = PrefixCacheCounts()
            self._up = asyncio.get_running_loop().create_future()
            self._line.open(0)
            self.state = EngineState.RESTARTING
            if not self._stops:
                contents = {content_of(attempt.request) for attempt in at_work}
                self.quarantine.crashed(contents, now_s=time.monotonic())
        return EngineCrashed(failure.sentence)

    def _fail(self, error: EngineStartFailed | NotReady) -> None:
        self.first_start.set_exception(error)
        self.first_start.exception()  # nobody may be waiting; that is no unhandled error
        self._turn_away(error, for_good=True)

    def _turn_away(self, error: EngineStartFailed | NotReady, *, for_good: bool = False) -> None:
        """Answer everybody who waits, for a row or for the process; for good, whoever comes later too."""
        if self._up.done():
            self._up = asyncio.get_running_loop().create_future()
        self._up.set_exception(error)
        self._up.exception()  # as above
        if not for_good:
            self._up = asyncio.get_running_loop().create_future()
        self._line.dissolve(error)

    def _observe(self, step: Step) -> None:
        # Its own is as young as its last rest.
        peak_bytes = max(self.memory.peak_bytes, step.memory.busy_peak_bytes)
        self.memory = msgspec.structs.replace(step.memory, peak_bytes=peak_bytes)
        self.decode_steps += step.decode_steps
        self.decoded_tokens += step.decoded_tokens
        self._line.settle()
        self._machine.observe(self._digest, step.memory)
        self._metrics.engines.stepped(step, before=self.prefix_cache)
        self.prefix_cache = step.prefix_cache
