"""Requests on one engine process: one reader for the child, one merging slot for each request."""

import asyncio
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import assert_never

import msgspec
import structlog

from gateway.contracts.chat import FinishReason
from gateway.contracts.scoring import TokenScore
from gateway.errors import EngineCrashed, EngineFault, EngineStartFailed, GatewayError, InvalidRequest
from gateway.fleet.process import EngineProcess, ProcessExit
from gateway.wire import (
    Accepted,
    Cancel,
    Fault,
    FramingError,
    FromEngine,
    LoadFailed,
    Ready,
    Rejected,
    Score,
    Scored,
    Start,
    Step,
    Submit,
    ToEngine,
    TokenDelta,
    merged,
)

_log = structlog.get_logger(__name__)


class _Slot:
    """What one request has been sent and not yet taken.

    A reader that is slow finds its deltas merged into one, so no queue grows behind it.
    """

    def __init__(self) -> None:
        self.accepted_as: Accepted | None = None
        self.error: GatewayError | None = None
        self._deltas: list[TokenDelta] = []
        self._finish_reason: FinishReason | None = None
        self._scores: list[TokenScore] = []
        self._scored = False
        self._news = asyncio.Event()

    @property
    def ended(self) -> bool:
        return self._finish_reason is not None or self._scored or self.error is not None

    def accept(self, accepted: Accepted) -> None:
        self.accepted_as = accepted
        self._news.set()

    def add(self, delta: TokenDelta) -> None:
        self._deltas.append(delta)
        self._finish_reason = delta.finish_reason
        self._news.set()

    def add_scores(self, scored: Scored) -> None:
        self._scores.extend(scored.positions)
        self._scored = scored.ended
        self._news.set()

    def fail(self, error: GatewayError) -> None:
        if not self.ended:
            self.error = error
            self._news.set()

    async def accepted(self) -> Accepted:
        """Wait for the engine's yes and return the request's size, or raise its no."""
        await self._news.wait()
        if self.error is not None:
            raise self.error
        if self.accepted_as is None:
            raise EngineFault("The engine sent a token before it accepted the request.")
        self._news.clear()
        return self.accepted_as

    async def all_scores(self) -> tuple[TokenScore, ...]:
        """Wait until all scores are here; an error ends the wait."""
        while not self._scored:
            await self._news.wait()
            if self.error is not None:
                raise self.error
            self._news.clear()
        return tuple(self._scores)

    async def take(self) -> TokenDelta:
        """Wait for news and return all of it as one delta; an error comes after what was said before it."""
        await self._news.wait()
        if self.error is not None and not self._deltas:
            raise self.error
        delta = merged(self._deltas)
        self._deltas.clear()
        if self.error is None:
            self._news.clear()
        return delta


class Generation:
    """One request on its engine: its size, and once it is started deltas until one has a finish reason."""

    def __init__(self, accepted: Accepted, slot: _Slot, send: Callable[[ToEngine], None]) -> None:
        self.prompt_tokens = accepted.prompt_tokens
        self.max_tokens = accepted.max_tokens
        """That it may generate at most."""
        self._request_id = accepted.request_id
        self._slot = slot
        self._send = send

    @property
    def ended(self) -> bool:
        """Whether its end has come from the engine, which for one not started is the engine's own end."""
        return self._slot.ended

    def start(self, max_tokens: int) -> None:
        """Let the engine run it, and generate so many tokens at most."""
        self._send(Start(request_id=self._request_id, max_tokens=max_tokens))

    async def scores(self) -> tuple[TokenScore, ...]:
        """Return what a Score asked for. Raises EngineError where the engine ends before that."""
        return await self._slot.all_scores()

    async def __aiter__(self) -> AsyncIterator[TokenDelta]:
        """Yield what is new, merged; raise EngineError where the engine ends before the request does."""
        while True:
            delta = await self._slot.take()
            yield delta
            if delta.finish_reason is not None:
                return


class EngineClient:
    """The parent's end of one engine process, from its start to its exit. It never restarts anything."""

    def __init__(self, process: EngineProcess, *, on_step: Callable[[Step], None], on_gone: Callable[[], None]) -> None:
        self._process = process
        self._on_step = on_step
        self._on_gone = on_gone
        self._slots: dict[str, _Slot] = {}
        self._started: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._exit: asyncio.Future[ProcessExit] = asyncio.get_running_loop().create_future()
        self.rows = 0
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ready(self, timeout_s: float) -> Ready:
        """Wait until the model is loaded. Raises EngineStartFailed with the engine's own sentence."""
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._started)
        except TimeoutError:
            self._process.kill()
            raise EngineStartFailed(
                f"The engine did not load within {timeout_s:g} s; raise engine.start_timeout_s or use a smaller model."
            ) from None

    async def exited(self) -> ProcessExit:
        return await asyncio.shield(self._exit)

    async def stop(self, timeout_s: float) -> ProcessExit:
        """End the process, politely first; requests in flight end with EngineCrashed."""
        await self._process.stop(timeout_s)
        return await self.exited()

    @asynccontextmanager
    async def submit(self, submit: Submit | Score) -> AsyncGenerator[Generation]:
        """Have one request checked and kept for its start.

        Entering waits for the engine's yes; leaving before the end cancels it there.
        """
        slot = _Slot()
        if self._exit.done() or self._reading.done():
            raise EngineCrashed("The engine process is gone; it is being restarted.")
        self._slots[submit.request_id] = slot
        self._process.send(submit)
        try:
            yield Generation(await slot.accepted(), slot, self._process.send)
        finally:
            del self._slots[submit.request_id]
            if not slot.ended:
                self._process.send(Cancel(request_id=submit.request_id))

    async def _read(self) -> None:
        """Be the one reader of the child: hand out each message, then tell everybody that it is gone."""
        try:
            async for messages in self._process.messages():
                for message in messages:
                    self._dispatch(message)
        except (FramingError, msgspec.DecodeError):
            self._process.kill()  # what follows on this stream means nothing any more
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody would listen to a live engine any more
            # Without its text: it may quote a message, which may quote a prompt.
            _log.error("engine_reader_failed", error_type=type(error).__qualname__, frames=_frames(error))
            self._process.kill()
        exit_ = await self._process.wait()
        gone = EngineCrashed(f"The engine process {exit_.sentence}")
        if not self._started.done():
            self._fail_start(f"The engine process {exit_.sentence}")
        self._on_gone()  # before its requests learn of it, or the rows that they leave would be given away again
        for slot in self._slots.values():
            slot.fail(gone)
        self._exit.set_result(exit_)

    def _dispatch(self, message: FromEngine) -> None:
        match message:
            case Ready() | LoadFailed():
                self._note_start(message)
            case Step():
                self.rows = message.rows
                self._deliver(message.deltas)
                self._on_step(message)
            case Accepted(request_id=request_id):
                if slot := self._slots.get(request_id):
                    slot.accept(message)
            case Scored(request_id=request_id):
                if slot := self._slots.get(request_id):
                    slot.add_scores(message)
            case Rejected(request_id=request_id, code=code, message=sentence, param=param):
                self._fail(request_id, InvalidRequest(sentence, code=code, param=param))
            case Fault(request_id=request_id, message=sentence):
                self._fail(request_id, EngineFault(sentence))
            case _:
                assert_never(message)

    def _note_start(self, message: Ready | LoadFailed) -> None:
        if self._started.done():  # somebody lost patience and killed it
            return
        if isinstance(message, Ready):
            self._started.set_result(message)
        else:
            self._fail_start(message.message)

    def _fail_start(self, sentence: str) -> None:
        self._started.set_exception(EngineStartFailed(sentence))
        self._started.exception()  # whoever waited may have gone; that is no unhandled error

    def _deliver(self, deltas: tuple[TokenDelta, ...]) -> None:
        for delta in deltas:
            if slot := self._slots.get(delta.request_id):  # a request that was cancelled has none
                slot.add(delta)

    def _fail(self, request_id: str, error: GatewayError) -> None:
        if slot := self._slots.get(request_id):
            slot.fail(error)


def _frames(error: Exception) -> list[str]:
    """Return where the error came from, innermost last."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
