"""The body of a streamed answer: opened by its first event, kept alive while nothing comes, cut where nobody reads."""

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Self

from litestar.types import Send

from gateway.api.disconnect import ReaderStalled
from gateway.api.sse import KEEP_ALIVE

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
_SENT = object()
"""In place of what a `send` waits for, where it waited for nothing."""


class EventStream:
    """Sends events, and a comment whenever nothing was sent for `interval_s`: in the queue, a long prefill, a call.

    Nothing goes out before the first event or the first comment is due, so that an answer that fails at once has an
    HTTP status of its own.

    A client that does not read makes `send` wait, once the server's buffer (uvicorn's, 64 KiB) and the system's are
    full. What has come for it meanwhile waits in one merging slot. When an event has waited for `stall_limit_s`,
    whatever the task does that entered the context ends in ReaderStalled. `send_now` never waits: where the client
    does, the event waits in a task of its own, and whatever is sent next behind it.
    """

    def __init__(self, send: Send, interval_s: float, *, stall_limit_s: float, send_body: Send | None = None) -> None:
        """`send_body`, where there is one, takes the messages of the body in place of `send`."""
        self._send = send
        self._send_body = send_body or send
        self._interval_s = interval_s
        self._stall_limit_s = stall_limit_s
        self._owner: asyncio.Task[object] | None = None
        self._stalled = False
        self._opened = False
        self._write_began_s: float | None = None
        """Of what is being sent; None while nothing is."""
        self._last_sent_s = time.monotonic()
        self._commenting = asyncio.Lock()
        """Held while a comment is sent: events, which are far more, come one at a time by themselves."""
        self._keeping: asyncio.Task[None] | None = None
        self._late: asyncio.Task[None] | None = None
        """Sends what `send_now` could not; there until what comes after it is sent."""

    async def __aenter__(self) -> Self:
        self._owner = asyncio.current_task()
        self._keeping = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_comments()
        if self._late is not None:
            self._late.cancel()
            await asyncio.gather(self._late, return_exceptions=True)
        if self._stalled and isinstance(error, asyncio.CancelledError) and self._owner is not None:
            if self._owner.uncancel() > 0:  # somebody else has cancelled it too
                return
            raise ReaderStalled from error

    @property
    def flows(self) -> bool:
        """Whether `send_now` may be called: the body is open, and nothing of it waits for the client."""
        return self._opened and self._late is None and self._write_began_s is None

    def send_now(self, data: bytes) -> None:
        """Send whole events without a turn of the event loop; nothing where there are none."""
        if not data:
            return
        sending = self._send_body({"type": "http.response.body", "body": data, "more_body": True}).__await__()
        if next(sending, _SENT) is _SENT:
            self._last_sent_s = time.monotonic()
            return
        # The server waits for a slow client before it writes, so nothing of this is sent.
        sending.close()
        self._late = asyncio.create_task(self._write(data, more=True))

    async def send(self, data: bytes) -> None:
        """Send whole events; nothing where there are none."""
        await self._catch_up()
        if data:
            if self._commenting.locked():  # the client does not take the comment, so it would not take this either
                async with self._commenting:
                    pass
            await self._write(data, more=True)

    async def end(self, data: bytes) -> None:
        """Send the last events and close the body."""
        await self._stop_comments()
        await self._catch_up()
        await self._write(data, more=False)

    async def can_still_fail(self) -> bool:
        """Say whether nothing was sent yet, and see to it that nothing is: the caller answers with a status."""
        await self._stop_comments()
        return not self._opened

    async def _catch_up(self) -> None:
        if self._late is not None:
            await self._late
            self._late = None

    async def _write(self, data: bytes, *, more: bool) -> None:
        self._write_began_s = time.monotonic()
        try:
            if not self._opened:
                self._opened = True
                await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await self._send_body({"type": "http.response.body", "body": data, "more_body": more})
        finally:
            self._write_began_s = None
        self._last_sent_s = time.monotonic()

    async def _keep(self) -> None:
        """Send a comment whenever one is due, until the reader stalls.

        It looks once an interval: a timeout around each event would be a timer for every token of every stream.
        """
        while True:
            began_s = self._write_began_s
            due_s = self._last_sent_s + self._interval_s if began_s is None else began_s + self._stall_limit_s
            wait_s = due_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(min(wait_s, self._interval_s))
            elif began_s is not None or not await self._comment():
                break
        self._stalled = True
        if self._owner is not None:
            self._owner.cancel()

    async def _comment(self) -> bool:
        """Send a comment; return whether that came to an end."""
        with contextlib.suppress(TimeoutError):
            async with self._commenting, asyncio.timeout(self._stall_limit_s):
                await self._write(KEEP_ALIVE, more=True)
                return True
        return False

    async def _stop_comments(self) -> None:
        if self._keeping is None:
            return
        self._keeping.cancel()
        # What a comment could not send, the next event cannot either, and tells.
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await self._keeping
        self._keeping = None
