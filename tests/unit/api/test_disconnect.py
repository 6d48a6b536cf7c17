"""Work ends with its client."""

import asyncio

import pytest
from litestar.types import HTTPDisconnectEvent

from gateway.api.disconnect import unless_disconnected


class _Line:
    """The receiving end of a connection that stays until it is hung up."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> HTTPDisconnectEvent:
        await self.gone.wait()
        return {"type": "http.disconnect"}


class _Work:
    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cleaned_up = False

    async def run(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.cleaned_up = True


@pytest.mark.anyio
async def test_work_that_ends_before_its_client_leaves_is_done() -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    assert await unless_disconnected(work(), _Line().receive)


@pytest.mark.anyio
async def test_work_is_cancelled_and_cleaned_up_when_its_client_leaves() -> None:
    line, work = _Line(), _Work()
    running = asyncio.create_task(unless_disconnected(work.run(), line.receive))
    await work.started.wait()
    line.gone.set()
    assert await running is False
    assert work.cleaned_up


@pytest.mark.anyio
async def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await unless_disconnected(work(), _Line().receive)


@pytest.mark.anyio
async def test_a_cancelled_caller_cancels_the_work() -> None:
    work = _Work()
    running = asyncio.create_task(unless_disconnected(work.run(), _Line().receive))
    await work.started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert work.cleaned_up
