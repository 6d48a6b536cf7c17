"""Requests on one engine process: one reader for the child, one merging slot for each request."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import assert_never

import msgspec

from gateway.contracts.admin import EngineMemory
from gateway.contracts.chat import FinishReason
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
    Step,
    Submit,
    TokenDelta,
)


class _Slot:
    """What one request has been sent and not yet taken.

    A reader that is slow finds its deltas merged into one, so no queue grows behind it.
    """

    def __init__(self) -> None:
        self.prompt_tokens: int | None = None
        self.error: GatewayError | None = None
        self._text: list[str] = []
        self._completion_tokens = 0
        self._finish_reason: FinishReason | None = None
        self._news = asyncio.Event()

    @property
    def ended(self) -> bool:
        return self._finish_reason is not None or self.error is not None

    def accept(self, prompt_tokens: int) -> None:
        self.prompt_tokens = prompt_tokens
        self._news.set()

    def add(self, delta: TokenDelta) -> None:
        self._text.append(delta.text)
        self._completion_tokens = delta.completion_tokens
        self._finish_reason = delta.finish_reason
        self._news.set()

    def fail(self, error: GatewayError) -> None:
        if not self.ended:
            self.error = error
            self._news.set()

    async def accepted(self) -> int:
        """Wait for the engine's yes and return the prompt's tokens, or raise its no."""
        await self._news.wait()
        if self.error is not None:
            raise self.error
        if self.prompt_tokens is None:
            raise EngineFault("The engine sent a token before it accepted the request.")
        if not self._text:
            self._news.clear()
        return self.prompt_tokens

    async def take(self, request_id: str) -> TokenDelta:
        """Wait for news and return all of it as one delta; an error comes after the text before it."""
        await self._news.wait()
        if self.error is not None and not self._text:
            raise self.error
        delta = TokenDelta(
            request_id=request_id,
            text="".join(self._text),
            completion_tokens=self._completion_tokens,
            finish_reason=self._finish_reason,
        )
        self._text.clear()
        if self.error is None:
            self._news.clear()
        return delta


class Generation:
    """One request in flight, as the API reads it: a prompt's length and then deltas until one has a finish reason."""

    def __init__(self, request_id: str, slot: _Slot, prompt_tokens: int) -> None:
        self._request_id = request_id
        self._slot = slot
        self.prompt_tokens = prompt_tokens

    async def __aiter__(self) -> AsyncIterator[TokenDelta]:
        """Yield what is new, merged; raise EngineError where the engine ends before the request does."""
        while True:
            delta = await self._slot.take(self._request_id)
            yield delta
            if delta.finish_reason is not None:
                return


class EngineClient:
    """The parent's end of one engine process, from its start to its exit. It never restarts anything."""

    def __init__(
        self, process: EngineProcess, *, on_step: Callable[[EngineMemory], None], on_gone: Callable[[], None]
    ) -> None:
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
    async def generate(self, submit: Submit) -> AsyncGenerator[Generation]:
        """Run one request. Entering waits for the engine's yes; leaving before the end cancels it there."""
        slot = _Slot()
        if self._exit.done() or self._reading.done():
            raise EngineCrashed("The engine process is gone; it is being restarted.")
        self._slots[submit.request_id] = slot
        self._process.send(submit)
        try:
            yield Generation(submit.request_id, slot, await slot.accepted())
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
            case Step(deltas=deltas, rows=rows, memory=memory):
                self.rows = rows
                self._deliver(deltas)
                self._on_step(memory)
            case Accepted(request_id=request_id, prompt_tokens=prompt_tokens):
                if slot := self._slots.get(request_id):
                    slot.accept(prompt_tokens)
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
