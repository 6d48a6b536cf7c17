"""One request on one engine, from the line to its end, whatever its processes do meanwhile.

It runs again once where a process dies under it and its client has been sent nothing of it. It gives its row up in the
moment of its end, so that a client that reads slowly holds no row, only what it has not read.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cached_property

import msgspec

from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.scheduling import RefusalReason, SchedulingClass
from gateway.contracts.scoring import TokenScore
from gateway.contracts.variants import EngineSpec
from gateway.errors import EngineCrashed, EngineFault, InvalidRequest, NotReady, QueueFull, UnavailableError
from gateway.fleet.attempt import Attempt, Tap, untapped
from gateway.fleet.client import EngineClient
from gateway.fleet.line import Claim, Line, Place
from gateway.fleet.memory import MachineMemory
from gateway.fleet.quarantine import Standing, content_of, encoded_bytes
from gateway.fleet.supervisor import Supervisor
from gateway.settings import EngineSettings
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.token_times import TokenTimes
from gateway.wire import Request, Submit, TokenDelta, Tokenized, merged

_RETRY_AFTER_START_S = 5.0
_TEMPLATE_TOKENS = 1024
"""Of a prompt, those that come from its template and not from the request: more than any known template adds."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a request is answered, as far as that matters to its engine's side: above all when that crashes."""

    whole: bool = False
    """Its client is sent nothing before the end. The delta that ends it says all; others show how far it is."""
    runs_again: bool = True
    """After a crash. False for a trial, which is to see it."""
    times: TokenTimes | None = None
    """Told when its tokens come."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Of all generations of one engine."""

    spec: EngineSpec
    settings: EngineSettings
    line: Line
    supervisor: Supervisor
    memory: MachineMemory
    metrics: Metrics


class Generation:
    """`begin` it, iterate over it or ask for its scores, and `end` it in any case."""

    def __init__(
        self,
        around: Surroundings,
        request: Request,
        scheduling_class: SchedulingClass,
        *,
        claim: Claim | None,
        terms: Terms,
    ) -> None:
        self.prompt_tokens = 0
        """Known once it has begun."""
        self.tap: Tap = untapped
        """Asked of the deltas after the first that is yielded. Of an answer that is sent whole, it is not."""
        self._around = around
        self._request = request
        self._class = scheduling_class
        self._claim = claim
        self._terms = terms
        self._place: Place | None = None
        """In line or on a row; None before and after."""
        self._attempt: Attempt | None = None
        self._crashes = 0
        """That it was at work in."""
        self._is_sent = False
        """Whether its client may have been sent something of it."""

    async def begin(self) -> None:
        """Have it measured, wait for a row, and run it.

        Raises QueueFull, NotReady, MemoryPressure or Rerouted from the line, InvalidRequest or EngineError from the
        engine; InvalidRequest too where it crashed the engine before.
        """
        if (refusal := self._around.supervisor.refusal()) is not None:
            self._around.metrics.queue.refused(self._class, RefusalReason.BREAKER)
            raise refusal
        self._check_blocked()
        self._place = self._around.line.enter(self._class, self._claim, alone=self._standing() is Standing.SUSPECT)
        await self._run(self._place, self._place.left_s)

    def end(self) -> None:
        """Give back what it holds; what still runs of it is cancelled."""
        if self._attempt is not None:
            self._attempt.leave()
        self._leave_line()

    async def __aiter__(self) -> AsyncIterator[TokenDelta]:
        """Yield what is new, merged, until a delta has a finish reason; raise EngineError where the engine ends."""
        said: list[TokenDelta] = []
        while True:
            try:
                delta = await self._started().take()
            except EngineCrashed:
                if self._place is None:  # `_note_end` has not put it back into the line
                    raise
                await self._run(self._place, self._place.timeout_s)
                said.clear()
                continue
            self._is_sent = self._is_sent or not self._terms.whole
            if self._terms.whole:
                said.append(delta)
                delta = merged(said) if delta.finish_reason is not None else delta
            yield delta
            if delta.finish_reason is not None:
                return
            if self._is_sent:  # so no other attempt will say it again
                self._started().tap = self.tap

    async def scores(self) -> tuple[TokenScore, ...]:
        """Return what a Score asked for. Raises EngineError where the engine ends before that."""
        while True:
            try:
                return await self._started().scores()
            except EngineCrashed:
                if self._place is None:  # as above
                    raise
                await self._run(self._place, self._place.timeout_s)

    def tokenized(self) -> Tokenized:
        """Return what a Tokenize or a Detokenize asked for; it is there once it has begun."""
        answer = self._started().tokenized
        if answer is None:
            raise EngineFault("The engine ran what was to be tokenised alone.")
        return answer

    # --- inside ---

    async def _run(self, place: Place, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                if place.alone:
                    self._around.line.measure(place, self._most_tokens())
                    await place.admitted
                attempt = await self._park(place)
                if attempt.tokenized is not None:  # that takes no row
                    self._leave_line()
                    return
                max_tokens = self._completion_tokens(attempt)
                if not place.alone:
                    self._around.line.measure(place, attempt.prompt_tokens + max_tokens)
                    await place.admitted
                while attempt.ended:  # the process that had measured it is gone
                    attempt = await self._park(place)
        except TimeoutError:
            raise self._lost_patience(place) from None
        self._check_blocked()
        self.prompt_tokens = attempt.prompt_tokens
        attempt.on_end = self._note_end
        attempt.time_tokens(self._terms.times)
        attempt.start(max_tokens)

    async def _park(self, place: Place) -> Attempt:
        """Have the process check and measure the request; where it dies meanwhile, the next one, where it may."""
        while True:
            if not place.alone:
                await self._around.line.shared()
            client = await self._client(place)
            try:
                self._attempt = await client.submit(self._request)
            except EngineCrashed:
                if not self._may_run_again():
                    raise
                self._crashes += 1
                self._around.metrics.queue.runs_again(self._class)
            else:
                return self._attempt

    def _note_end(self) -> None:
        """Give up the row in the moment of the end, or stand in line again where it is not the end."""
        attempt = self._started()
        error = attempt.error
        if isinstance(error, EngineCrashed) and self._place is not None and self._may_run_again():
            self._crashes += 1
            self._around.metrics.queue.runs_again(self._class)
            attempt.unsay()
            self._around.line.requeue(self._place)
            return
        self._leave_line()
        if error is None or isinstance(error, EngineFault):  # else the engine is gone, or somebody has cut the answer
            self._supervisor.answered()
            if not self._supervisor.quarantine.empty:
                self._supervisor.quarantine.survived(self._content)

    async def _client(self, place: Place) -> EngineClient:
        """Wait for a process; raise where the place in the line is gone meanwhile."""
        if place.admitted.done() or self._supervisor.process is not None:
            return await self._supervisor.client()
        coming = asyncio.ensure_future(self._supervisor.client())
        try:
            await asyncio.wait({coming, place.admitted}, return_when=asyncio.FIRST_COMPLETED)
            if place.admitted.done():
                await place.admitted
            return await coming
        finally:
            coming.cancel()

    def _may_run_again(self) -> bool:
        if self._is_sent or self._crashes or not self._terms.runs_again:
            return False
        return self._standing() is not Standing.BLOCKED

    def _leave_line(self) -> None:
        if self._place is not None:
            place, self._place = self._place, None
            process = self._supervisor.process
            self._around.line.leave(place, settled=process is None or process.rows == 0)

    def _completion_tokens(self, attempt: Attempt) -> int:
        """Return how many tokens to set memory aside for. Raises MemoryPressure where there can never be enough."""
        spec, memory, ready = self._around.spec, self._around.memory, self._supervisor.ready
        max_tokens = attempt.max_tokens
        if isinstance(self._request, Submit) and self._request.max_completion_tokens is None:
            longest_tokens = memory.longest_row_tokens(spec, ready) - attempt.prompt_tokens
            max_tokens = max(1, min(max_tokens, self._around.settings.default_completion_tokens, longest_tokens))
        refusal = memory.refusal(spec, ready, attempt.prompt_tokens + max_tokens)
        if refusal is not None:
            self._around.metrics.queue.refused(self._class, RefusalReason.MEMORY)
            raise refusal
        return max_tokens

    def _most_tokens(self) -> int:
        """Return what it may come to, as far as that can be said before an engine has read it."""
        asked = self._request.max_completion_tokens if isinstance(self._request, Submit) else 0
        completion_tokens = self._around.settings.default_completion_tokens if asked is None else asked
        longest_tokens = self._around.memory.longest_row_tokens(self._around.spec, self._supervisor.ready)
        return min(encoded_bytes(self._request) + completion_tokens + _TEMPLATE_TOKENS, longest_tokens)

    def _standing(self) -> Standing:
        quarantine = self._supervisor.quarantine
        if quarantine.empty:
            return Standing.CLEAR
        return quarantine.standing(self._content, now_s=time.monotonic())

    @cached_property
    def _content(self) -> str:
        return content_of(self._request)

    def _check_blocked(self) -> None:
        if self._standing() is Standing.BLOCKED:
            self._around.metrics.queue.refused(self._class, RefusalReason.QUARANTINE)
            raise InvalidRequest(
                "The engine crashed more than once while it ran this very request, the last time with nothing beside "
                f"it; change the request. It is refused for {self._around.settings.quarantine_s:g} s after that, which "
                "is engine.quarantine_s.",
                code=ErrorCode.REQUEST_CRASHES_ENGINE,
            )

    def _lost_patience(self, place: Place) -> UnavailableError:
        self._around.metrics.queue.refused(place.scheduling_class, RefusalReason.DEADLINE)
        setting = f"{place.timeout_s:g} s, which is queue.{place.scheduling_class}.timeout_s"
        if self._supervisor.process is None:
            return NotReady(
                f"The engine was not ready for {setting}; ask again later.", retry_after_s=_RETRY_AFTER_START_S
            )
        return QueueFull(
            f"The request waited for a row for {setting}; ask again later.",
            retry_after_s=self._around.line.admission.expected_wait_s(place.scheduling_class),
        )

    def _started(self) -> Attempt:
        if self._attempt is None:
            message = "a generation is read before it has begun"
            raise RuntimeError(message)
        return self._attempt

    @property
    def _supervisor(self) -> Supervisor:
        return self._around.supervisor
