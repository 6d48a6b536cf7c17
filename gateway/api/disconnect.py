"""Stop working for a client that is gone, whether its answer is streamed or not."""

import asyncio
from collections.abc import Coroutine

from litestar.types import Receive


class ClientDisconnected(Exception):
    """The client closed the connection before it had sent its request. Nobody reads the answer."""


class ReaderStalled(Exception):
    """The client keeps the connection and does not read its answer. It is given up."""


async def unless_disconnected(work: Coroutine[None, None, None], receive: Receive) -> bool:
    """Run `work` to its end, or cancel it and return False as soon as the client is gone.

    To be called when the request's body is read: `receive` then has nothing left to say but the disconnect. What
    `work` raises is raised here, and a cancellation of the caller reaches `work` too. Either way `work` has ended,
    clean-up included, when this returns.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return False
        await working
        return True
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
