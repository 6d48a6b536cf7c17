"""The body of a streamed answer: opened by its first event, and kept alive while nothing comes."""

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Self

from litestar.types import Send

from gateway.api.sse import KEEP_ALIVE

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]


class EventStream:
    """Sends events, and a comment whenever nothing was sent for `interval_s`: in the queue, a long prefill, a call.

    Nothing goes out before the first event or the first comment is due, so that an answer that fails at once has an
    HTTP status of its own.
    """

    def __init__(self, send: Send, interval_s: float) -> None:
        self._send = send
        self._interval_s = interval_s
        self._opened = False
        self._last_sent_s = time.monotonic()
        self._sending = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._keeping = asyncio.create_task(self._keep_alive())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_comments()

    async def send(self, data: bytes) -> None:
        """Send whole events; nothing where there are none."""
        if data:
            await self._write(data, more=True)

    async def end(self, data: bytes) -> None:
        """Send the last events and close the body."""
        await self._stop_comments()
        await self._write(data, more=False)

    async def can_still_fail(self) -> bool:
        """Say whether nothing was sent yet, and see to it that nothing is: the caller answers with a status."""
        await self._stop_comments()
        return not self._opened

    async def _write(self, data: bytes, *, more: bool) -> None:
        async with self._sending:
            if not self._opened:
                self._opened = True
                await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
            self._last_sent_s = time.monotonic()

    async def _keep_alive(self) -> None:
        while True:
            due_s = self._last_sent_s + self._interval_s
            if (wait_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            else:
                await self._write(KEEP_ALIVE, more=True)

    async def _stop_comments(self) -> None:
        if self._keeping is None:
            return
        self._keeping.cancel()
        # What a comment could not send, the next event cannot either, and tells.
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await self._keeping
        self._keeping = None
