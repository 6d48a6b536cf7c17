"""Places in line, in the event loop: they are given up at any moment and nothing is lost by it."""

import asyncio
import time

import pytest

from gateway.contracts.scheduling import SchedulingClass
from gateway.errors import NotReady, QueueFull
from gateway.fleet.admission import admit_everywhere
from gateway.fleet.budget import Holding, Machine
from gateway.fleet.line import Claim, Line, Place, Rerouted
from gateway.settings import BatchSettings, ClassSettings, QueueSettings
from gateway.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio
INTERACTIVE, BATCH = SchedulingClass.INTERACTIVE, SchedulingClass.BATCH


class Bench:
    """One line on a machine of its own."""

    def __init__(self, queue: QueueSettings | None = None, rows: int = 1) -> None:
        self.metrics = Metrics()
        self.line = Line(queue or QueueSettings(), kv_bytes_per_token=0, on_change=self.admit, metrics=self.metrics)
        self.line.open(rows)

    def admit(self) -> None:
        now_s = time.monotonic()
        machine = Machine(limit_bytes=1, reserve_bytes=0)
        pairs = [(self.line.admission, Holding(fixed_bytes=0, kv_floor_bytes=0))]
        for _, ticket in admit_everywhere(pairs, machine, now_s=now_s):
            self.line.seat(ticket, now_s=now_s)
        self.line.wake_when_patience_ends(now_s)

    def enter(self, scheduling_class: SchedulingClass = INTERACTIVE) -> Place:
        place = self.line.enter(scheduling_class)
        self.line.measure(place, 1)
        return place

    def leave(self, place: Place) -> None:
        self.line.leave(place, settled=True)


async def test_a_row_goes_to_the_next_when_it_is_left() -> None:
    bench = Bench()
    first, second = bench.enter(), bench.enter()
    assert (first.holds_row, second.holds_row) == (True, False)
    bench.leave(first)
    await asyncio.wait_for(second.admitted, 5)


async def test_one_who_is_cancelled_in_the_moment_of_being_admitted_gives_the_row_on() -> None:
    bench = Bench()
    first, second, third = bench.enter(), bench.enter(), bench.enter()

    async def wait() -> None:
        try:
            await second.admitted
        finally:
            bench.leave(second)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()  # its future is cancelled now, and it runs only in the loop's next turn
    bench.leave(first)
    assert not third.holds_row
    await asyncio.wait([waiting])
    assert third.holds_row


async def test_a_full_line_is_told_with_the_setting_and_when_to_come_back() -> None:
    bench = Bench(QueueSettings(batch=BatchSettings(max_queued=0)))
    bench.enter(BATCH)
    with pytest.raises(QueueFull, match=r"queue\.batch\.max_queued") as refused:
        bench.enter(BATCH)
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s >= 1
    assert b'gateway_requests_refused_total{class="batch",reason="queue_full"} 1.0' in bench.metrics.render()[0]


async def test_it_is_empty_when_the_last_has_left() -> None:
    bench = Bench()
    first, second = bench.enter(), bench.enter()
    empty = asyncio.create_task(bench.line.empty())
    bench.leave(second)
    await asyncio.sleep(0)
    assert not empty.done()
    assert bench.line.idle_s == 0
    bench.leave(first)
    await asyncio.wait_for(empty, 5)
    assert bench.line.idle_s >= 0


async def test_everybody_who_does_not_run_is_sent_away() -> None:
    bench = Bench()
    running, waiting = bench.enter(), bench.enter()
    unmeasured = bench.line.enter(INTERACTIVE)
    bench.line.dissolve(NotReady("gone"))
    assert running.holds_row
    for place in (waiting, unmeasured):
        with pytest.raises(NotReady, match="gone"):
            await place.admitted
        bench.leave(place)
    bench.leave(running)
    await asyncio.wait_for(bench.line.empty(), 5)


async def test_patience_ends_without_any_event() -> None:
    """Interactive work holds every row and more waits; the batch request goes next all the same."""
    bench = Bench(QueueSettings(interactive=ClassSettings(), batch=BatchSettings(patience_s=0.05)))
    first = bench.enter()
    batch, second = bench.enter(BATCH), bench.enter()
    await asyncio.sleep(0.1)
    bench.leave(first)
    assert (batch.holds_row, second.holds_row) == (True, False)


async def test_waits_are_observed_by_class() -> None:
    bench = Bench()
    bench.enter(BATCH)
    assert b'gateway_queue_wait_seconds_count{class="batch"} 1.0' in bench.metrics.render()[0]


async def test_nobody_runs_beside_one_who_is_to_run_alone() -> None:
    bench = Bench(rows=3)
    first = bench.enter()
    alone = bench.line.enter(INTERACTIVE, alone=True)
    bench.line.measure(alone, 1)
    last = bench.enter()
    assert (first.holds_row, alone.holds_row, last.holds_row) == (True, False, False)
    await asyncio.wait_for(bench.line.shared(), 5)
    bench.leave(first)
    assert (alone.holds_row, last.holds_row) == (True, False)
    outside = asyncio.create_task(bench.line.shared())
    await asyncio.sleep(0)
    assert not outside.done()
    bench.leave(alone)
    assert last.holds_row
    await asyncio.wait_for(outside, 5)


async def test_one_whose_row_is_lost_stands_where_it_stood_and_the_line_is_not_empty_meanwhile() -> None:
    bench = Bench(QueueSettings(interactive=ClassSettings(max_queued=1)), rows=1)
    first, second = bench.enter(), bench.enter()
    bench.line.open(0)
    bench.line.requeue(first)
    assert not first.holds_row
    assert bench.line.idle_s == 0
    bench.line.open(1)
    assert not second.holds_row  # the first is next, and not measured yet
    bench.line.measure(first, 1)
    await asyncio.wait_for(first.admitted, 5)
    assert not second.holds_row
    bench.leave(first)
    assert second.holds_row


async def test_one_who_ran_alone_and_lost_its_row_lets_the_others_be_measured() -> None:
    bench = Bench(rows=2)
    alone = bench.line.enter(INTERACTIVE, alone=True)
    bench.line.measure(alone, 1)
    assert alone.holds_row
    bench.line.requeue(alone)
    await asyncio.wait_for(bench.line.shared(), 5)


async def test_those_who_may_be_answered_elsewhere_are_turned_out_while_they_hold_no_row() -> None:
    bench = Bench()
    places = [bench.line.enter(INTERACTIVE, Claim(movable=movable)) for movable in (True, True, False)]
    for place in places:
        bench.line.measure(place, 1)
    bench.line.turn_out()
    assert places[0].holds_row
    with pytest.raises(Rerouted):
        await asyncio.wait_for(places[1].admitted, 5)
    assert not places[2].admitted.done()
    bench.leave(places[1])
    bench.leave(places[0])
    await asyncio.wait_for(places[2].admitted, 5)


async def test_one_who_has_stood_in_a_line_is_not_refused_by_another_that_is_full() -> None:
    full = QueueSettings(interactive=ClassSettings(max_queued=0, timeout_s=60))
    claim = Claim(movable=True, since_s=time.monotonic() - 50)
    Bench(full).line.enter(INTERACTIVE, claim)
    bench = Bench(full)
    bench.enter()
    with pytest.raises(QueueFull):
        bench.line.enter(INTERACTIVE, Claim())
    place = bench.line.enter(INTERACTIVE, claim)
    assert 0 < place.left_s <= 10, "what it has waited before counts"


async def test_a_line_is_busy_between_two_parts_of_one_answer() -> None:
    bench = Bench()
    place = bench.enter()
    with bench.line.stay():
        bench.leave(place)
        assert bench.line.is_busy
    assert not bench.line.is_busy
    await asyncio.wait_for(bench.line.empty(), 5)
