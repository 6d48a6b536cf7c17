"""Requests on one engine process: one reader for the child, one attempt for each request, one watch over all."""

import asyncio
import traceback
from collections.abc import Callable, Sequence
from typing import assert_never

import msgspec
import structlog

from gateway.contracts.admin import FailureReason
from gateway.errors import EngineCrashed, EngineFault, EngineStartFailed, GatewayError, InvalidRequest
from gateway.fleet.attempt import Attempt
from gateway.fleet.failure import Cause, ProcessExit
from gateway.fleet.process import EngineProcess
from gateway.fleet.watch import TICKS, Watch
from gateway.wire import (
    Accepted,
    Echoed,
    Fault,
    FramingError,
    FromEngine,
    Identify,
    Identity,
    LoadFailed,
    Ready,
    Rejected,
    Request,
    Scored,
    Step,
    TokenDelta,
    Tokenized,
)

_log = structlog.get_logger(__name__)

_DYING_TIMEOUT_S = 5.0
"""A child that has hung up and lives on for so long, as one that writes a core file may, is killed."""
_GARBLED = Cause(FailureReason.CRASHED, "The engine process said what the gateway could not take, and was killed.")


class EngineClient:
    """The parent's end of one engine process, from its start to its exit. It never restarts anything."""

    def __init__(
        self,
        process: EngineProcess,
        *,
        step_timeout_s: float,
        chunk_tokens: int | None = None,
        on_step: Callable[[Step], None],
        on_gone: Callable[[ProcessExit, Sequence[Attempt]], GatewayError],
    ) -> None:
        """Be told of steps, and of the process's end in that moment, with the attempts that were at work.

        `on_gone` returns the error that all attempts end with. A step works on one chunk of a prompt at most; or, where
        `chunk_tokens` says how large a chunk is, on all chunks of one.
        """
        self._process = process
        self._step_timeout_s = step_timeout_s
        self._chunk_tokens = chunk_tokens
        self._on_step = on_step
        self._on_gone = on_gone
        self._attempts: dict[str, Attempt] = {}
        self._identities: list[asyncio.Future[Identity]] = []
        self._started: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._exit: asyncio.Future[ProcessExit] = asyncio.get_running_loop().create_future()
        self._watch = Watch()
        self.rows = 0
        self.gone = False
        self.given_up: Cause | None = None
        """Why it was killed from here, where it was."""
        self._reading = asyncio.create_task(self._read())
        self._watching = asyncio.create_task(self._keep_watch())

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

    def kill(self) -> None:
        self._process.kill()

    async def stop(self, timeout_s: float) -> ProcessExit:
        """End the process, politely first; requests in flight end with EngineCrashed."""
        await self._process.stop(timeout_s)
        return await self.exited()

    async def submit(self, request: Request) -> Attempt:
        """Have one request checked and kept for its start, and wait for the engine's yes.

        Whoever has got the attempt leaves it, whatever becomes of it. Raises InvalidRequest, EngineError.
        """
        if self.gone:
            raise EngineCrashed("The engine process is gone; it is being restarted.")
        request_id = request.request_id
        attempt = Attempt(request, send=self._process.send, forget=lambda: self._forget(request_id, attempt))
        self._attempts[request_id] = attempt
        self._process.send(request)
        try:
            await attempt.accepted()
        except BaseException:
            attempt.leave()
            raise
        return attempt

    async def identify(self) -> Identity:
        """Return what the process says that it has loaded. Raises EngineError where it is gone before it answers."""
        if self.gone:
            raise EngineCrashed("The engine process is gone; it is being restarted.")
        identity: asyncio.Future[Identity] = asyncio.get_running_loop().create_future()
        self._identities.append(identity)
        self._process.send(Identify())
        return await identity

    def cut(self, error: GatewayError) -> None:
        """End every request with this error; those that have begun, after what was said before it."""
        for attempt in list(self._attempts.values()):
            attempt.fail(error)

    def _forget(self, request_id: str, attempt: Attempt) -> None:
        if self._attempts.get(request_id) is attempt:
            del self._attempts[request_id]

    async def _read(self) -> None:
        """Be the one reader of the child: hand out each message, then tell everybody that it is gone."""
        try:
            async for messages in self._process.messages():
                for message in messages:
                    self._dispatch(message)
        except (FramingError, msgspec.DecodeError):
            self._give_up(_GARBLED)  # what follows on this stream means nothing any more
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody would listen to a live engine any more
            # Without its text: it may quote a message, which may quote a prompt.
            _log.error("engine_reader_failed", error_type=type(error).__qualname__, frames=_frames(error))
            self._give_up(_GARBLED)
        exit_ = await self._process.ended(_DYING_TIMEOUT_S)
        self._watching.cancel()
        self.gone = True
        try:
            self._tell_everybody(exit_)
        finally:  # whatever goes wrong there, the process is to be started again
            self._exit.set_result(exit_)

    def _tell_everybody(self, exit_: ProcessExit) -> None:
        if not self._started.done():
            self._fail_start("")
        # Before its requests learn of it, or the rows that they leave would be given away again.
        error = self._on_gone(exit_, [attempt for attempt in self._attempts.values() if attempt.runs or attempt.asks])
        self.cut(error)
        for identity in self._identities:
            if not identity.done():
                identity.set_exception(error)

    async def _keep_watch(self) -> None:
        while True:
            await asyncio.sleep(self._step_timeout_s / TICKS)
            attempts = self._attempts.values()
            running, asked = any(attempt.runs for attempt in attempts), any(attempt.asks for attempt in attempts)
            chunks = 1
            if self._chunk_tokens is not None:
                chunks += max((it.pending_prompt_tokens for it in attempts), default=0) // self._chunk_tokens
            if self._watch.tick(running=running, asked=asked, chunks=chunks):
                limit = f"{self._step_timeout_s:g} s, which is engine.step_timeout_s"
                self._give_up(
                    Cause(FailureReason.HUNG, f"The engine process took no step for {limit}, and was killed.")
                )
                return

    def _give_up(self, cause: Cause) -> None:
        self.given_up = self.given_up or cause
        self._process.kill()

    def _dispatch(self, message: FromEngine) -> None:
        match message:
            case Ready() | LoadFailed():
                self._note_start(message)
            case Step():
                self.rows = message.rows
                self._watch.stepped()
                self._deliver(message.deltas)
                self._on_step(message)
            case Accepted() | Rejected() | Tokenized():
                self._watch.answered()
                self._tell(message)
            case Echoed(delta=delta):
                self._watch.stepped()
                self._deliver((delta,))
            case Scored() | Fault():
                self._watch.stepped()
                self._tell(message)
            case Identity():
                for identity in self._identities:
                    if not identity.done():
                        identity.set_result(message)
                self._identities.clear()
            case _:
                assert_never(message)

    def _tell(self, message: Accepted | Rejected | Tokenized | Scored | Fault) -> None:
        attempt = self._attempts.get(message.request_id)
        if attempt is None:  # it was cancelled
            return
        match message:
            case Accepted():
                attempt.accept(message)
            case Tokenized():
                attempt.answer(message)
            case Scored():
                attempt.add_scores(message)
            case Rejected(code=code, message=sentence, param=param):
                attempt.fail(InvalidRequest(sentence, code=code, param=param))
            case Fault(message=sentence):
                attempt.fail(EngineFault(sentence))

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
            if attempt := self._attempts.get(delta.request_id):  # a request that was cancelled has none
                attempt.add(delta)


def _frames(error: Exception) -> list[str]:
    """Return where the error came from, innermost last."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
