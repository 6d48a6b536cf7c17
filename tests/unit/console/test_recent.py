"""The ring of the last half hour, and what is made of two readings."""

import msgspec
import pytest

from gateway.finished_requests import FinishedRequest
from gateway.recent import Reading, Recent, Spread, spreads

BARE = FinishedRequest(
    request_id="r",
    finished_at_s=0.0,
    method="POST",
    path="/v1/chat/completions",
    status=200,
    code=None,
    duration_s=1.0,
    completion_id=None,
    model=None,
    variant=None,
    role=None,
    stream=None,
    prompt_tokens=None,
    completion_tokens=None,
    finish_reason=None,
    time_to_first_token_s=None,
)


def reading(at_s: float, **decoded: int) -> Reading:
    return Reading(
        at_s=at_s,
        decoded_tokens=decoded,
        running=1,
        queued=2,
        used_bytes=3,
        time_to_first_token=None,
        time_per_output_token=None,
    )


def rates(*readings: Reading) -> list[float]:
    recent = Recent()
    for one in readings:
        recent.add(one)
    return [point.tokens_per_s for point in recent.points()]


def test_the_rate_is_of_what_all_engines_decoded_in_between() -> None:
    assert rates(reading(0, a=10, b=5), reading(5, a=20, b=20), reading(10, a=20, b=20)) == [5.0, 0.0]


def test_an_engine_that_was_loaded_again_counts_from_nothing() -> None:
    assert rates(reading(0, a=1000), reading(5, a=50), reading(10), reading(15, a=5)) == [10.0, 0.0, 1.0]


def test_a_clock_that_stands_still_or_goes_back_gives_no_rate() -> None:
    assert rates(reading(5, a=0), reading(5, a=10), reading(4, a=20)) == [0.0, 0.0]


def test_nothing_is_said_before_the_second_reading() -> None:
    recent = Recent()
    assert recent.latest() is None
    recent.add(reading(0))
    assert recent.latest() is None
    assert list(recent.points()) == []
    recent.add(reading(5))
    assert recent.latest() == next(recent.points())


def test_the_ring_forgets_and_gives_what_came_after_a_time() -> None:
    recent = Recent(kept=4)
    for at_s in range(10):
        recent.add(reading(at_s))
    assert [point.at_s for point in recent.points()] == [7, 8, 9]
    assert [point.at_s for point in recent.points(after_s=8)] == [9]


def test_latencies_are_of_the_requests_that_had_tokens() -> None:
    answered = [
        msgspec.structs.replace(
            BARE, time_to_first_token_s=number / 100, duration_s=number / 100 + 1.0, completion_tokens=11
        )
        for number in range(1, 101)
    ]
    single = msgspec.structs.replace(BARE, time_to_first_token_s=0.5, completion_tokens=1)
    first, later = spreads([*answered, BARE])
    assert first == Spread(p50=0.5, p95=0.95, n=100)
    assert later is not None
    assert (later.p50, later.p95, later.n) == (pytest.approx(0.1), pytest.approx(0.1), 100)
    assert spreads([single])[1] is None
    assert spreads([BARE]) == (None, None)
