"""What the gateway did in the last half hour: a small ring of readings, for whoever comes to look. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

import msgspec

from gateway.finished_requests import FinishedRequest

INTERVAL_S = 5.0
"""Between two readings."""
WINDOW_S = 60.0
"""Latencies are of the requests that ended within so long before a reading."""
_KEPT = 360
_P95 = 0.95


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Of a latency, in seconds."""

    p50: float
    p95: float
    n: int


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    at_s: float
    """Unix time."""
    decoded_tokens: Mapping[str, int]
    """By engine, since it was loaded."""
    running: int
    queued: int
    used_bytes: int
    time_to_first_token: Spread | None
    """None where no request ended in the window."""
    time_per_output_token: Spread | None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What a chart shows of one moment."""

    at_s: float
    tokens_per_s: float
    """Since the moment before."""
    running: int
    queued: int
    used_bytes: int
    time_to_first_token: Spread | None
    time_per_output_token: Spread | None


class Recent:
    def __init__(self, *, kept: int = _KEPT) -> None:
        self._readings: deque[Reading] = deque(maxlen=kept)

    def add(self, reading: Reading) -> None:
        self._readings.append(reading)

    def points(self, *, after_s: float = 0.0) -> Iterator[Point]:
        """Yield what was read after that time, oldest first; of the first reading of all nothing follows yet."""
        for before, reading in pairwise(self._readings):
            if reading.at_s > after_s:
                yield _point(before, reading)

    def latest(self) -> Point | None:
        """Return the last moment; None before the second reading."""
        if len(self._readings) < 2:  # noqa: PLR2004 - a rate needs two
            return None
        return _point(self._readings[-2], self._readings[-1])


def spreads(requests: Iterable[FinishedRequest]) -> tuple[Spread | None, Spread | None]:
    """Return the time to the first token and the time per token after it, of the requests that had any."""
    first: list[float] = []
    later: list[float] = []
    for request in requests:
        if request.time_to_first_token_s is None:
            continue
        first.append(request.time_to_first_token_s)
        if (count := request.completion_tokens or 0) > 1:
            later.append((request.duration_s - request.time_to_first_token_s) / (count - 1))
    return _spread(first), _spread(later)


def _point(before: Reading, reading: Reading) -> Point:
    decoded = sum(
        # An engine that is loaded again counts from 0.
        count - (old if count >= (old := before.decoded_tokens.get(engine, 0)) else 0)
        for engine, count in reading.decoded_tokens.items()
    )
    passed_s = reading.at_s - before.at_s
    return Point(
        at_s=reading.at_s,
        tokens_per_s=decoded / passed_s if passed_s > 0 else 0.0,
        running=reading.running,
        queued=reading.queued,
        used_bytes=reading.used_bytes,
        time_to_first_token=reading.time_to_first_token,
        time_per_output_token=reading.time_per_output_token,
    )


def _spread(values: list[float]) -> Spread | None:
    if not values:
        return None
    values.sort()
    last = len(values) - 1
    return Spread(p50=values[last // 2], p95=values[round(last * _P95)], n=len(values))
