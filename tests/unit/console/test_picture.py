"""The memory's picture: one scale, nothing beyond the drawing."""

import msgspec
import pytest

from gateway.api.console.picture import WIDTH, memory_picture
from gateway.contracts.admin import EngineMemory, EngineState, EngineView
from gateway.contracts.status import MemoryStatus

GIB = 1024**3
MEMORY = MemoryStatus(
    limit_bytes=48 * GIB,
    reserve_bytes=2 * GIB,
    planned_bytes=30 * GIB,
    used_bytes=20 * GIB,
    available_bytes=0,
    near_limit=False,
)
ENGINE = EngineView(
    engine_digest="e" * 64,
    variants=("tutor@0123456789ab",),
    state=EngineState.READY,
    detail="",
    pid=1,
    device="",
    dequantised=False,
    load_time_s=None,
    active_after_load_bytes=None,
    predicted_bytes=0,
    memory=EngineMemory(active_bytes=18 * GIB, cache_bytes=2 * GIB),
    rows=0,
    max_rows=1,
    one_at_a_time=False,
    queued=0,
    restarts=0,
    uptime_s=0.0,
)


def test_bars_share_a_scale_and_their_segments_follow_each_other() -> None:
    picture = memory_picture(MEMORY, [ENGINE])
    set_aside, in_use = picture.bars
    assert [segment.kind for segment in set_aside.segments] == ["reserve", "planned"]
    assert [segment.kind for segment in in_use.segments] == ["active", "cache"]
    assert (set_aside.total_bytes, in_use.total_bytes) == (32 * GIB, 20 * GIB)
    per_byte = picture.limit_x / MEMORY.limit_bytes
    for bar in picture.bars:
        x = 0.0
        for segment in bar.segments:
            assert segment.x == pytest.approx(x)
            assert segment.width == pytest.approx(segment.size_bytes * per_byte)
            x += segment.width
        assert x <= WIDTH
    assert picture.near_x == pytest.approx(0.9 * picture.limit_x)
    assert picture.used_ratio == pytest.approx(20 / 48)


def test_what_overshoots_the_limit_is_seen_to() -> None:
    over = msgspec.structs.replace(MEMORY, limit_bytes=16 * GIB)
    picture = memory_picture(over, [ENGINE])
    assert all(segment.x + segment.width <= WIDTH for bar in picture.bars for segment in bar.segments)
    last = picture.bars[1].segments[-1]
    assert last.x + last.width > picture.limit_x


def test_an_empty_machine_has_a_picture_too() -> None:
    picture = memory_picture(msgspec.structs.replace(MEMORY, limit_bytes=0, reserve_bytes=0, planned_bytes=0), [])
    assert all(bar.segments == () for bar in picture.bars)
    assert picture.used_ratio == 0.0
