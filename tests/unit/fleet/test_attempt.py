"""What came for a request waits for its reader in one slot, however slow that is."""

import asyncio

import pytest

from gateway.contracts.chat import FinishReason
from gateway.errors import EngineCrashed, EngineFault
from gateway.fleet.attempt import Attempt
from gateway.wire import Accepted, Cancel, Start, ToEngine, TokenDelta
from tests.support.engine_client import submit

pytestmark = pytest.mark.anyio


class Bench:
    """An attempt whose engine is the test."""

    def __init__(self) -> None:
        self.sent: list[ToEngine] = []
        self.ends = 0
        self.forgotten = 0
        self.attempt = Attempt(submit("r", "hello"), send=self.sent.append, forget=self._forget)
        self.attempt.on_end = self._end

    def accept(self) -> None:
        self.attempt.accept(Accepted(request_id="r", prompt_tokens=3, max_tokens=9))

    def say(self, text: str, count: int, reason: FinishReason | None = None) -> None:
        self.attempt.add(TokenDelta(request_id="r", text=text, completion_tokens=count, finish_reason=reason))

    async def begin_to_read(self) -> asyncio.Task[TokenDelta]:
        """Return whoever waits for news."""
        reading = asyncio.create_task(self.attempt.take())
        await asyncio.sleep(0)
        return reading

    def _end(self) -> None:
        self.ends += 1

    def _forget(self) -> None:
        self.forgotten += 1


async def test_a_reader_that_is_slow_finds_one_delta_and_no_queue() -> None:
    bench = Bench()
    bench.accept()
    await bench.attempt.accepted()
    for count in range(1, 10_001):
        bench.say("x", count)
    held = vars(bench.attempt)["_deltas"]
    assert len(held) < 100
    delta = await bench.attempt.take()
    assert (delta.text, delta.completion_tokens) == ("x" * 10_000, 10_000)


async def test_the_end_is_told_in_its_moment_and_once_though_nobody_has_read_anything() -> None:
    bench = Bench()
    bench.accept()
    await bench.attempt.accepted()
    bench.say("a", 1)
    assert bench.ends == 0
    bench.say("b", 2, FinishReason.STOP)
    assert (bench.ends, bench.attempt.ended) == (1, True)
    bench.attempt.fail(EngineCrashed("gone"))
    assert bench.ends == 1
    assert (await bench.attempt.take()).text == "ab"


async def test_an_error_comes_after_what_was_said_before_it() -> None:
    bench = Bench()
    bench.accept()
    await bench.attempt.accepted()
    bench.say("a", 1)
    bench.attempt.fail(EngineFault("broken"))
    assert (await bench.attempt.take()).text == "a"
    with pytest.raises(EngineFault):
        await bench.attempt.take()
    assert bench.ends == 1


async def test_what_is_unsaid_is_not_read_and_the_error_is() -> None:
    bench = Bench()
    bench.accept()
    await bench.attempt.accepted()
    bench.say("a", 1)
    bench.attempt.fail(EngineCrashed("gone"))
    bench.attempt.unsay()
    with pytest.raises(EngineCrashed):
        await bench.attempt.take()


async def test_leaving_cancels_what_has_not_ended_and_nothing_else() -> None:
    running, ended = Bench(), Bench()
    for bench in (running, ended):
        bench.accept()
        bench.attempt.start(5)
    ended.say("a", 1, FinishReason.STOP)
    running.attempt.leave()
    ended.attempt.leave()
    assert running.sent == [Start(request_id="r", max_tokens=5), Cancel(request_id="r")]
    assert ended.sent == [Start(request_id="r", max_tokens=5)]
    assert (running.forgotten, ended.forgotten) == (1, 1)


async def test_it_asks_until_it_is_answered_and_runs_from_its_start_to_its_end() -> None:
    bench = Bench()
    states = [(bench.attempt.asks, bench.attempt.runs)]
    bench.accept()
    states.append((bench.attempt.asks, bench.attempt.runs))
    bench.attempt.start(5)
    states.append((bench.attempt.asks, bench.attempt.runs))
    bench.say("a", 1, FinishReason.STOP)
    states.append((bench.attempt.asks, bench.attempt.runs))
    assert states == [(True, False), (False, False), (False, True), (False, False)]


async def test_its_prompt_is_pending_from_its_start_to_its_first_word() -> None:
    bench = Bench()
    bench.accept()
    pending = [bench.attempt.pending_prompt_tokens]
    bench.attempt.start(5)
    pending.append(bench.attempt.pending_prompt_tokens)
    bench.say("a", 1)
    pending.append(bench.attempt.pending_prompt_tokens)
    assert pending == [0, 3, 0]


async def test_who_waits_for_a_yes_is_told_of_the_end() -> None:
    bench = Bench()
    waiting = asyncio.create_task(bench.attempt.accepted())
    await asyncio.sleep(0)
    bench.attempt.fail(EngineCrashed("gone"))
    with pytest.raises(EngineCrashed):
        await waiting


async def test_a_reader_that_is_cancelled_in_the_moment_of_news_leaves_them_to_the_next() -> None:
    bench = Bench()
    bench.accept()
    await bench.attempt.accepted()
    reading = asyncio.create_task(bench.attempt.take())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    bench.say("a", 1)
    bench.say("b", 2)
    assert (await bench.attempt.take()).text == "ab"
    reading = asyncio.create_task(bench.attempt.take())
    await asyncio.sleep(0)
    assert not reading.done()
    bench.say("c", 3)
    assert (await reading).text == "c"


async def test_a_tap_takes_what_comes_while_the_reader_waits_and_leaves_it_the_end() -> None:
    bench, tapped = Bench(), list[str]()
    bench.accept()
    await bench.attempt.accepted()
    bench.attempt.tap = lambda delta: tapped.append(delta.text) is None
    reading = await bench.begin_to_read()
    bench.say("a", 1)
    bench.say("b", 2)
    bench.say("c", 3, FinishReason.STOP)
    delta = await reading
    assert (tapped, delta.text, delta.completion_tokens) == (["a", "b"], "c", 3)


async def test_a_tap_passes_nothing_that_the_reader_has_not_taken_yet() -> None:
    bench, tapped = Bench(), list[str]()
    bench.accept()
    await bench.attempt.accepted()
    bench.attempt.tap = lambda delta: delta.text != "b" and tapped.append(delta.text) is None
    bench.say("a", 1)
    assert (await bench.attempt.take()).text == "a"
    reading = await bench.begin_to_read()
    bench.say("b", 2)  # refused by the tap
    bench.say("c", 3)
    assert (await reading).text == "bc"
    assert tapped == []


async def test_what_a_tap_raises_is_no_business_of_whoever_reads_the_engine() -> None:
    def broken(_: TokenDelta) -> bool:
        message = "no JSON"
        raise ValueError(message)

    bench = Bench()
    bench.accept()
    await bench.attempt.accepted()
    bench.attempt.tap = broken
    reading = await bench.begin_to_read()
    bench.say("a", 1)
    assert (await reading).text == "a"


async def test_a_tap_is_not_asked_for_a_reader_that_has_left() -> None:
    bench, tapped = Bench(), list[str]()
    bench.accept()
    await bench.attempt.accepted()
    bench.attempt.tap = lambda delta: tapped.append(delta.text) is None
    reading = await bench.begin_to_read()
    reading.cancel()
    bench.say("a", 1)
    assert (await bench.attempt.take()).text == "a"
    assert tapped == []
