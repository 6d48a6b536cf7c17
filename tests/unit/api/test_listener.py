"""The socket that the gateway listens on."""

import asyncio
import socket

import pytest

from gateway.server import bind


@pytest.mark.anyio
async def test_what_is_written_is_sent_at_once() -> None:
    """Nagle's algorithm holds a body back until the client has acknowledged the headers: 40 ms a response."""
    without_delay: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted: socket.socket = writer.get_extra_info("socket")
        without_delay.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = bind("127.0.0.1", 0)
    async with await asyncio.start_server(connected, sock=listener):
        _, client = await asyncio.open_connection(*listener.getsockname())
        assert await without_delay
        client.close()
        await client.wait_closed()
