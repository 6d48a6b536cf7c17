"""A stream whose client does not read is given up, and nothing else is."""

import asyncio
import time
from typing import cast

import pytest
from litestar.types import Message, Send

from gateway.api.disconnect import ReaderStalled
from gateway.api.event_stream import EventStream
from tests.support.fleets import until

pytestmark = pytest.mark.anyio

AT_ONCE_S = 0.02
LONG_S = 60.0


class Reader:
    """Takes so many messages, and then nothing until `reads` is set."""

    def __init__(self, takes: int) -> None:
        self.taken: list[bytes] = []
        self.waiting = 0
        """Messages that were held up, so far."""
        self.reads = asyncio.Event()
        self._takes = takes

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            if len(self.taken) >= self._takes:
                self.waiting += 1
                await self.reads.wait()
            self.taken.append(message["body"])

    def stream(self, *, interval_s: float = LONG_S, stall_limit_s: float = LONG_S) -> EventStream:
        return EventStream(cast("Send", self.send), interval_s, stall_limit_s=stall_limit_s)


async def test_an_event_that_is_not_taken_within_the_limit_ends_the_stream() -> None:
    reader = Reader(takes=1)
    cleaned: list[bool] = []

    async def own() -> None:
        async with asyncio.timeout(10), reader.stream(interval_s=AT_ONCE_S, stall_limit_s=AT_ONCE_S) as stream:
            try:
                await stream.send(b"first")
                await stream.send(b"second")
            finally:
                cleaned.append(True)

    with pytest.raises(ReaderStalled):
        await own()
    assert reader.taken == [b"first"]
    assert cleaned
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_comment_that_is_not_taken_ends_it_too_though_its_owner_waits_for_the_engine() -> None:
    reader = Reader(takes=0)
    with pytest.raises(ReaderStalled):
        async with asyncio.timeout(10), reader.stream(interval_s=AT_ONCE_S, stall_limit_s=AT_ONCE_S):
            await asyncio.Event().wait()


async def test_a_reader_that_is_only_slow_gets_everything() -> None:
    reader = Reader(takes=1)
    async with asyncio.timeout(10), reader.stream(interval_s=AT_ONCE_S) as stream:
        await stream.send(b"first")
        asyncio.get_running_loop().call_later(5 * AT_ONCE_S, reader.reads.set)
        await stream.send(b"second")
        await stream.end(b"last")
    assert [it for it in reader.taken if not it.startswith(b":")] == [b"first", b"second", b"last"]


async def test_whoever_cancels_the_owner_is_not_told_of_a_stalled_reader() -> None:
    reader = Reader(takes=0)

    async def own() -> None:
        async with reader.stream() as stream:
            await stream.send(b"first")

    owner = asyncio.create_task(own())
    await asyncio.sleep(0)
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner


async def test_an_event_comes_after_a_comment_that_the_client_is_slow_to_take() -> None:
    reader = Reader(takes=0)
    async with asyncio.timeout(10), reader.stream(interval_s=AT_ONCE_S) as stream:
        await until(lambda: reader.waiting == 1)
        event = asyncio.create_task(stream.send(b"first"))
        await asyncio.sleep(0)
        assert reader.waiting == 1
        reader.reads.set()
        await event
        await stream.end(b"last")
    assert reader.taken[0].startswith(b":")
    assert [it for it in reader.taken if not it.startswith(b":")] == [b"first", b"last"]


async def test_a_comment_is_not_sent_beside_an_event_that_waits() -> None:
    reader = Reader(takes=0)
    async with asyncio.timeout(10), reader.stream(interval_s=AT_ONCE_S) as stream:
        event = asyncio.create_task(stream.send(b"first"))
        await asyncio.sleep(5 * AT_ONCE_S)
        assert reader.waiting == 1
        reader.reads.set()
        await event
        await stream.end(b"last")
    assert reader.taken[0] == b"first"


async def test_a_body_goes_where_bodies_are_sent_and_its_head_where_heads_are() -> None:
    heads: list[str] = []
    bodies: list[str] = []

    async def send(message: Message) -> None:
        heads.append(message["type"])

    async def send_body(message: Message) -> None:
        bodies.append(message["type"])

    stream = EventStream(cast("Send", send), LONG_S, stall_limit_s=LONG_S, send_body=cast("Send", send_body))
    async with stream:
        await stream.send(b"first")
        await stream.end(b"last")
    assert heads == ["http.response.start"]
    assert bodies == ["http.response.body", "http.response.body"]


async def test_what_is_sent_now_is_out_without_a_turn_of_the_loop() -> None:
    reader = Reader(takes=2)
    async with asyncio.timeout(10), reader.stream() as stream:
        assert not stream.flows  # it is not open
        await stream.send(b"first")
        assert stream.flows
        stream.send_now(b"second")
        stream.send_now(b"")
        assert reader.taken == [b"first", b"second"]
        assert stream.flows


async def test_no_comment_comes_between_events_that_are_sent_now() -> None:
    reader = Reader(takes=1_000_000)
    interval_s = 0.2
    silences_s: list[float] = []
    async with asyncio.timeout(10), reader.stream(interval_s=interval_s) as stream:
        await stream.send(b"first")
        began_s = sent_s = time.monotonic()
        while sent_s < began_s + 2 * interval_s:
            await asyncio.sleep(interval_s / 20)
            stream.send_now(b"event")
            silences_s.append(time.monotonic() - sent_s)
            sent_s += silences_s[-1]
    comments = sum(it.startswith(b":") for it in reader.taken)
    # A machine that stood still for long enough is to have had some.
    assert comments <= sum(2 * silence_s // interval_s for silence_s in silences_s)


async def test_what_a_slow_client_does_not_take_now_comes_once_and_before_what_follows() -> None:
    reader = Reader(takes=1)
    async with asyncio.timeout(10), reader.stream() as stream:
        await stream.send(b"first")
        stream.send_now(b"second")
        assert not stream.flows
        asyncio.get_running_loop().call_soon(reader.reads.set)
        await stream.send(b"third")
        assert stream.flows
        await stream.end(b"last")
    assert reader.taken == [b"first", b"second", b"third", b"last"]


async def test_a_stream_may_end_behind_what_was_not_taken() -> None:
    reader = Reader(takes=1)
    async with asyncio.timeout(10), reader.stream() as stream:
        await stream.send(b"first")
        stream.send_now(b"second")
        asyncio.get_running_loop().call_soon(reader.reads.set)
        await stream.end(b"last")
    assert reader.taken == [b"first", b"second", b"last"]


async def test_what_was_not_taken_now_stalls_the_stream_as_any_event_does() -> None:
    reader = Reader(takes=1)
    tasks = asyncio.all_tasks()

    async def own() -> None:
        async with asyncio.timeout(10), reader.stream(interval_s=AT_ONCE_S, stall_limit_s=AT_ONCE_S) as stream:
            await stream.send(b"first")
            stream.send_now(b"second")
            await asyncio.Event().wait()

    with pytest.raises(ReaderStalled):
        await own()
    assert reader.taken == [b"first"]
    assert asyncio.all_tasks() == tasks


async def test_whoever_leaves_a_slow_client_leaves_nothing_behind() -> None:
    reader = Reader(takes=1)
    tasks = asyncio.all_tasks()
    async with reader.stream() as stream:
        await stream.send(b"first")
        stream.send_now(b"second")
        await until(lambda: reader.waiting == 2)  # once now, and once in the task that waits
    assert asyncio.all_tasks() == tasks
