"""Memory against its limit as two bars on one scale: what is set aside, and what is in use. Pure."""

from collections.abc import Iterable

import msgspec

from gateway.contracts.admin import EngineView
from gateway.contracts.digests import short
from gateway.contracts.status import MemoryStatus
from gateway.fleet.budget import NEAR_LIMIT_RATIO

WIDTH = 1000.0
"""Of the drawing, in units of its own."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    """A class of the style sheet."""
    label: str
    size_bytes: int
    x: float
    width: float


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    segments: tuple[Segment, ...]
    total_bytes: int


class MemoryPicture(msgspec.Struct, frozen=True, kw_only=True):
    bars: tuple[Bar, ...]
    limit_x: float
    near_x: float
    used_ratio: float
    """Of the limit."""


def memory_picture(memory: MemoryStatus, engines: Iterable[EngineView]) -> MemoryPicture:
    in_use = [
        part
        for engine in engines
        for part in (
            ("active", f"{engine_name(engine)}, model and answers", engine.memory.active_bytes),
            ("cache", f"{engine_name(engine)}, free buffers", engine.memory.cache_bytes),
        )
    ]
    set_aside = [
        ("reserve", "Reserve", memory.reserve_bytes),
        ("planned", "Engines and requests", memory.planned_bytes),
    ]
    # A little beyond the limit, so that what overshoots it is seen to.
    scale = WIDTH / (1.04 * max(memory.limit_bytes, *(sum(size for *_, size in bar) for bar in (in_use, set_aside)), 1))
    bars = (_bar("Set aside", set_aside, scale), _bar("In use", in_use, scale))
    return MemoryPicture(
        bars=bars,
        limit_x=memory.limit_bytes * scale,
        near_x=NEAR_LIMIT_RATIO * memory.limit_bytes * scale,
        used_ratio=memory.used_bytes / memory.limit_bytes if memory.limit_bytes else 0.0,
    )


def engine_name(engine: EngineView) -> str:
    """Return what people call an engine: the first of the variants that it serves."""
    return engine.variants[0] if engine.variants else short(engine.engine_digest)


def _bar(title: str, parts: Iterable[tuple[str, str, int]], scale: float) -> Bar:
    segments: list[Segment] = []
    x = 0.0
    for kind, label, size_bytes in parts:
        if size_bytes > 0:
            width = size_bytes * scale
            segments.append(Segment(kind=kind, label=label, size_bytes=size_bytes, x=x, width=width))
            x += width
    return Bar(title=title, segments=tuple(segments), total_bytes=sum(segment.size_bytes for segment in segments))
