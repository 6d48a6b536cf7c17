"""An ASGI application without anything behind it: every stream gets a chunk at each beat of one clock."""

import asyncio
from typing import Any

from litestar.types import Receive, Send

CHUNKS = 200
"""Of a stream."""
BEAT_S = 0.005
_CHUNK = (
    b'data: {"id":"chatcmpl-0123456789abcdef0123456789abcdef","created":1764288000,"model":"paced","object":'
    b'"chat.completion.chunk","system_fingerprint":"0123456789ab","choices":[{"index":0,"delta":{"content":"x"},'
    b'"finish_reason":null}]}\n\n'
)
_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8")]


class Clock:
    """Wakes all who wait, at once, as the steps of an engine do."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []
        self._beating: asyncio.Task[None] | None = None

    async def beat(self) -> None:
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat())
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        await waiting

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                if not one.done():
                    one.set_result(None)


_clock = Clock()


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    if scope["method"] == "POST":
        while (await receive()).get("more_body"):
            pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    for _ in range(CHUNKS if scope["method"] == "POST" else 0):
        await _clock.beat()
        await send({"type": "http.response.body", "body": _CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})
