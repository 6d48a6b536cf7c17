"""`GET /admin/status`: what is loaded, what it holds of the machine, and who answers for what."""

import msgspec

from gateway.contracts.admin import EngineView


class MemoryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes."""

    limit_bytes: int
    """The working set that the device recommends, or the setting in its place."""
    reserve_bytes: int
    """Of that, what is not the engines'."""
    planned_bytes: int
    """Set aside for the engines and the requests that they run."""
    used_bytes: int
    """Active and cached, as the engines last reported it."""
    available_bytes: int
    """What the machine could give a process now, as the system counts it."""
    near_limit: bool


class DeploymentStatus(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    incumbent: str
    """`name@digest`."""
    revision: int
    engine_digest: str
    problem: str
    """Why it cannot answer now; empty where it can."""
    on_demand: bool
    """Unloaded because nobody used it; the next request loads it."""
    changing: bool
    """Requests wait for another engine to take over."""


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    ready: bool
    detail: str
    pid: int
    uptime_s: float
    running: int
    """Requests that hold a row."""
    queued: dict[str, int]
    """By class, those that wait for a row or for a swap to end."""
    memory: MemoryStatus
    deployments: tuple[DeploymentStatus, ...]
    engines: tuple[EngineView, ...]
