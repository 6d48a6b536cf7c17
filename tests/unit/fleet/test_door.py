"""Who waits while an engine is exchanged: bounded, in order, and told when to come back."""

import asyncio
import time

import pytest

from gateway.contracts.scheduling import SchedulingClass
from gateway.errors import NotReady, QueueFull
from gateway.fleet.door import Door
from gateway.fleet.line import Claim
from gateway.settings import ClassSettings, QueueSettings
from gateway.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio
INTERACTIVE, BATCH, _ = SchedulingClass


def door_of(*, max_queued: int = 8, timeout_s: float = 60, wait_timeout_s: float = 60) -> Door:
    queue = QueueSettings(interactive=ClassSettings(max_queued=max_queued, timeout_s=timeout_s))
    return Door(queue, wait_timeout_s=wait_timeout_s, metrics=Metrics())


async def test_all_who_wait_go_when_it_opens_in_the_order_of_their_coming() -> None:
    door, gone = door_of(), list[int]()

    async def come(number: int) -> None:
        await door.wait(INTERACTIVE, Claim())
        gone.append(number)

    waiting = [asyncio.create_task(come(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert door.waiting_count_of(INTERACTIVE) == 5
    assert gone == []
    door.open()
    await asyncio.gather(*waiting)
    assert gone == [0, 1, 2, 3, 4]
    assert door.waiting_count_of(INTERACTIVE) == 0


async def test_each_class_has_its_own_places_and_one_who_was_accepted_before_needs_none() -> None:
    door = door_of(max_queued=1)
    door.expect(30)
    waiting = [asyncio.create_task(door.wait(INTERACTIVE, Claim())), asyncio.create_task(door.wait(BATCH, Claim()))]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull, match=r"queue\.interactive\.max_queued") as raised:
        await door.wait(INTERACTIVE, Claim())
    assert 25 < (raised.value.retry_after_s or 0) <= 30
    waiting.append(asyncio.create_task(door.wait(INTERACTIVE, Claim(accepted=True))))
    await asyncio.sleep(0)
    door.open()
    await asyncio.gather(*waiting)


@pytest.mark.parametrize(
    ("limits", "waited_s", "setting"),
    [
        ({"timeout_s": 60.0, "wait_timeout_s": 0.01}, 0, "swap.wait_timeout_s"),
        ({"timeout_s": 0.01, "wait_timeout_s": 60.0}, 0, "queue.interactive.timeout_s"),
        ({"timeout_s": 50.0, "wait_timeout_s": 60.0}, 100, "queue.interactive.timeout_s"),
    ],
)
async def test_who_waits_too_long_is_told_which_limit_it_was(
    limits: dict[str, float], waited_s: float, setting: str
) -> None:
    door = door_of(**limits)  # pyright: ignore[reportArgumentType] - max_queued is not among them
    with pytest.raises(NotReady, match=setting) as raised:
        await door.wait(INTERACTIVE, Claim(since_s=time.monotonic() - waited_s))
    assert (raised.value.retry_after_s or 0) >= 1
    assert door.waiting_count_of(INTERACTIVE) == 0


async def test_who_leaves_gives_its_place_to_another() -> None:
    door = door_of(max_queued=1)
    leaving = asyncio.create_task(door.wait(INTERACTIVE, Claim()))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    staying = asyncio.create_task(door.wait(INTERACTIVE, Claim()))
    await asyncio.sleep(0)
    assert not staying.done()
    door.open()
    await staying


async def test_a_door_that_is_dissolved_sends_everybody_away_also_those_who_come_later() -> None:
    door = door_of()
    waiting = asyncio.create_task(door.wait(INTERACTIVE, Claim()))
    await asyncio.sleep(0)
    door.dissolve(NotReady("the end"))
    door.open()
    with pytest.raises(NotReady, match="the end"):
        await waiting
    with pytest.raises(NotReady, match="the end"):
        await door.wait(INTERACTIVE, Claim())
