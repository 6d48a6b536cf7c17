"""What the gateway's end of an engine process sends, and when."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import wire
from gateway.fleet.process import EngineProcess

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def _started(ours: socket.socket) -> AsyncGenerator[EngineProcess]:
    """Yield one without a child, whose socket ends with the context."""
    reader, writer = await asyncio.open_connection(sock=ours)
    child: Any = SimpleNamespace(stderr=None)
    try:
        yield EngineProcess(child, reader, writer, on_end=lambda: None)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _start(name: str) -> wire.Start:
    return wire.Start(request_id=name, max_tokens=1)


async def test_what_one_turn_sends_goes_out_at_its_end_in_order() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        async with _started(ours) as process:
            for names in ("abc", "d"):
                for name in names:
                    process.send(_start(name))
                with pytest.raises(BlockingIOError):
                    theirs.recv(1, socket.MSG_DONTWAIT)
                await asyncio.sleep(0)
                received = bytearray(theirs.recv(65536))
                messages = [wire.decode_to_engine(body) for body in wire.take_frames(received)]
                assert messages == [_start(name) for name in names]


async def test_what_can_no_longer_arrive_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    async with _started(ours) as process:
        for name in "abcdefghijkl":  # asyncio warns of the fifth write in vain
            process.send(_start(name))
            await asyncio.sleep(0)
    assert caplog.messages == []
