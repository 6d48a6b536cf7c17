"""One request on one engine process: what has come for it and was not taken yet."""

import asyncio
from collections.abc import Callable

from gateway.contracts.scoring import TokenScore
from gateway.errors import EngineFault, GatewayError
from gateway.telemetry.token_times import TokenTimes
from gateway.wire import Accepted, Cancel, Request, Scored, Start, ToEngine, TokenDelta, Tokenized, merged

_MERGED_AT = 64
"""Deltas of a reader that is slow."""


Tap = Callable[[TokenDelta], bool]
"""Takes a delta in the moment that it comes and returns True, or leaves it to whoever reads."""


def untapped(_: TokenDelta) -> bool:
    """Called in place of a tap."""
    return False


def _nobody() -> None:
    """Called in place of whoever wants to know of the end."""


class Attempt:
    """A slot that merges: a reader that is slow finds one delta, as long as its answer can be, and no queue."""

    def __init__(self, request: Request, *, send: Callable[[ToEngine], None], forget: Callable[[], None]) -> None:
        self.request = request
        self.prompt_tokens = 0
        """Known once it is accepted; likewise `max_tokens`."""
        self.max_tokens = 0
        """That it may generate at most."""
        self.tokenized: Tokenized | None = None
        """Where that is all that was asked for: it is answered in place of being accepted."""
        self.error: GatewayError | None = None
        self.on_end: Callable[[], None] = _nobody
        """Called once, in the moment when its end comes from the engine or with it: however slow its reader is."""
        self.tap: Tap = untapped
        """Asked of each delta but the last, where the reader has taken all before it: to wake it costs as much again
        as to send a token."""
        self._send = send
        self._forget = forget
        self._times: TokenTimes | None = None
        self._is_accepted = False
        self._is_started = False
        self._has_spoken = False
        self._deltas: list[TokenDelta] = []
        self._scores: list[TokenScore] = []
        self._finished = False
        self._has_news = False
        self._reading: asyncio.Future[None] | None = None
        """What the one reader waits for. An Event, which may have many, takes its time with every token."""

    @property
    def ended(self) -> bool:
        """Whether its end has come from the engine, which for one not started is the engine's own end."""
        return self._finished or self.error is not None

    @property
    def runs(self) -> bool:
        return self._is_started and not self.ended

    @property
    def pending_prompt_tokens(self) -> int:
        """Of its prompt, what the engine may be at work on."""
        return self.prompt_tokens if self.runs and not self._has_spoken else 0

    @property
    def asks(self) -> bool:
        """Whether the engine has not said yes or no yet."""
        return not self._is_accepted and not self.ended

    # --- from the engine ---

    def accept(self, accepted: Accepted) -> None:
        self.prompt_tokens, self.max_tokens = accepted.prompt_tokens, accepted.max_tokens
        self._is_accepted = True
        self._tell()

    def answer(self, tokenized: Tokenized) -> None:
        self.tokenized = tokenized
        self._is_accepted = self._finished = True
        self._tell()

    def add(self, delta: TokenDelta) -> None:
        self._has_spoken = True
        if self._times is not None:
            self._times.came(delta.completion_tokens)
        if delta.finish_reason is None and self._waiting is not None and self._is_tapped(delta):
            return
        self._deltas.append(delta)
        if len(self._deltas) >= _MERGED_AT:
            self._deltas = [merged(self._deltas)]
        self._tell()
        if delta.finish_reason is not None:
            if self._times is not None:
                self._times.ended()
            self._finish()

    def add_scores(self, scored: Scored) -> None:
        self._scores.extend(scored.positions)
        self._tell()
        if scored.ended:
            self._finish()

    def fail(self, error: GatewayError) -> None:
        if not self.ended:
            self.error = error
            self._tell()
            self.on_end()

    def unsay(self) -> None:
        """Drop what was not taken: it will be said again by another."""
        self._deltas.clear()
        self._scores.clear()

    @property
    def _waiting(self) -> asyncio.Future[None] | None:
        """What its reader waits for. While there is something, it has taken all that there was."""
        return self._reading if self._reading is not None and not self._reading.done() else None

    def _is_tapped(self, delta: TokenDelta) -> bool:
        try:
            return self.tap(delta)
        except Exception:  # noqa: BLE001 - whoever reads meets it too, and tells; the engine's reader goes on for all
            return False

    def _tell(self) -> None:
        self._has_news = True
        if (waiting := self._waiting) is not None:
            waiting.set_result(None)

    def _finish(self) -> None:
        self._finished = True
        self.on_end()

    # --- for the reader ---

    def time_tokens(self, times: TokenTimes | None) -> None:
        """Tell `times`, where there are any, of the tokens as they come from the engine, however slow its reader is."""
        self._times = times
        if times is not None:
            times.restart()

    def start(self, max_tokens: int) -> None:
        """Let the engine run it, and generate so many tokens at most."""
        self._is_started = True
        self._send(Start(request_id=self.request.request_id, max_tokens=max_tokens))

    def leave(self) -> None:
        """Be rid of it: what has not ended is cancelled, what comes late is dropped."""
        self._forget()
        if not self.ended:
            self._send(Cancel(request_id=self.request.request_id))

    async def accepted(self) -> None:
        """Wait for the engine's yes, or raise its no."""
        await self._news()
        if self.error is not None:
            raise self.error
        if not self._is_accepted:
            raise EngineFault("The engine sent a token before it accepted the request.")
        self._has_news = False

    async def take(self) -> TokenDelta:
        """Wait for news and return all of it as one delta; an error comes after what was said before it."""
        await self._news()
        if self.error is not None and not self._deltas:
            raise self.error
        delta = merged(self._deltas)
        self._deltas.clear()
        self._has_news = self.error is not None
        return delta

    async def scores(self) -> tuple[TokenScore, ...]:
        """Wait until all scores are here; an error ends the wait."""
        while not self._finished:
            await self._news()
            if self.error is not None:
                raise self.error
            self._has_news = False
        return tuple(self._scores)

    async def _news(self) -> None:
        if not self._has_news:
            self._reading = asyncio.get_running_loop().create_future()
            await self._reading
