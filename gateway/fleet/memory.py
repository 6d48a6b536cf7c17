"""The machine's memory as the engines share it: how much there is, what each holds, and when it runs short."""

import sys
from collections.abc import Iterable

import psutil
import structlog

from gateway.contracts.admin import EngineMemory
from gateway.contracts.variants import EngineKind, EngineSpec
from gateway.errors import MemoryPressure
from gateway.fleet.budget import (
    NEAR_LIMIT_RATIO,
    Holding,
    Machine,
    Share,
    gib,
    longest_row_tokens,
    memory_is_back,
    never_fits,
    planned_kv_bytes,
    resident_bytes,
    resident_kv_bytes_per_token,
    shortfall,
)
from gateway.settings import Settings
from gateway.wire import Ready

_log = structlog.get_logger()

_DEFAULT_WORKING_SET_RATIO = 0.75
"""Of the machine's memory, which is about what Metal recommends."""
_RETRY_AFTER_MEMORY_S = 30.0
_PREFIX_CACHE_RATIO = 0.25
"""Of what weights, buffers and the floor of the key-value cache leave of the machine."""
_FAR_AGAIN_RATIO = 0.85
"""Below this, the next approach is told again; between the two, nothing is."""


class MachineMemory:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._recommended_bytes: int | None = None
        self._guess_bytes = round(psutil.virtual_memory().total * _DEFAULT_WORKING_SET_RATIO)
        self._used_bytes: dict[str, int] = {}
        self.near_limit = False
        """Whether the engines together use more than 90 % of the working set."""

    @property
    def machine(self) -> Machine:
        return Machine(limit_bytes=self._limit_bytes, reserve_bytes=self._settings.memory.reserve_bytes)

    def holding(self, spec: EngineSpec, ready: Ready | None) -> Holding:
        """Return what an engine holds beside its requests: as measured, once it is loaded."""
        fixed_bytes = self._weights_and_buffers_bytes(spec, ready) + self.share(spec).prefix_cache_bytes
        return Holding(fixed_bytes=fixed_bytes, kv_floor_bytes=self._kv_floor_bytes(spec))

    def share(self, spec: EngineSpec) -> Share:
        """Return what its process is told. The prefix cache never takes more than a part of what the weights leave."""
        engines_bytes = self._limit_bytes - self._settings.memory.reserve_bytes
        left_bytes = engines_bytes - self._weights_and_buffers_bytes(spec, None) - self._kv_floor_bytes(spec)
        wanted_bytes = self._settings.engine.prefix_cache_bytes if spec.kind is EngineKind.MLX else 0
        return Share(
            memory_limit_bytes=engines_bytes,
            prefix_cache_bytes=max(0, min(wanted_bytes, int(left_bytes * _PREFIX_CACHE_RATIO))),
        )

    def kv_bytes_per_token(self, spec: EngineSpec) -> int:
        return resident_kv_bytes_per_token(spec, dequantise=dequantises(spec))

    def check_load(self, spec: EngineSpec, loaded: Iterable[Holding]) -> None:
        """Raise MemoryPressure with the arithmetic where an engine does not fit beside those that are loaded."""
        lacking = shortfall(self.holding(spec, None), list(loaded), self.machine)
        if lacking is not None:
            raise MemoryPressure(
                f"The engine does not fit: {lacking}. Unload another (DELETE /admin/engines/...), or raise "
                "memory.recommended_working_set_bytes.",
                retry_after_s=_RETRY_AFTER_MEMORY_S,
            )

    def check_job(self, needed_bytes: int, loaded: Iterable[Holding]) -> None:
        """Raise MemoryPressure with the arithmetic where a job does not fit beside the engines that are loaded."""
        lacking = shortfall(Holding(fixed_bytes=needed_bytes, kv_floor_bytes=0), list(loaded), self.machine)
        if lacking is not None:
            raise MemoryPressure(
                f"The job does not fit: {lacking}. Unload an engine (DELETE /admin/engines/...), or raise "
                "memory.recommended_working_set_bytes.",
                retry_after_s=_RETRY_AFTER_MEMORY_S,
            )

    def is_back(self, spec: EngineSpec, *, held_bytes: int, before_bytes: int, now_bytes: int) -> bool:
        """Say whether the system shows as free what engines held that have ended, or what this one needs."""
        needed_bytes = self.holding(spec, None).held_bytes
        return memory_is_back(
            needed_bytes=needed_bytes, held_bytes=held_bytes, before_bytes=before_bytes, now_bytes=now_bytes
        )

    def longest_row_tokens(self, spec: EngineSpec, ready: Ready | None) -> int:
        """Return the tokens of the longest request that fits while no other engine is loaded."""
        room_bytes = self.machine.kv_room_bytes(self.holding(spec, ready))
        return longest_row_tokens(room_bytes, self.kv_bytes_per_token(spec))

    def refusal(self, spec: EngineSpec, ready: Ready | None, tokens: int) -> MemoryPressure | None:
        """Return what to tell a request of so many tokens where it can never fit."""
        words = never_fits(tokens, self.kv_bytes_per_token(spec), self.holding(spec, ready), self.machine)
        if words is None:
            return None
        return MemoryPressure(f"This machine's memory cannot hold the request: {words}.", retry_after_s=None)

    def note_ready(self, ready: Ready) -> None:
        """Learn from a loaded engine what its device recommends."""
        self._recommended_bytes = ready.recommended_working_set_bytes or self._recommended_bytes

    def observe(self, engine_digest: str, memory: EngineMemory) -> None:
        """Note what an engine uses; tell once when all together come near the limit."""
        self._used_bytes[engine_digest] = memory.active_bytes + memory.cache_bytes
        used_bytes, limit_bytes = sum(self._used_bytes.values()), self._limit_bytes
        if self.near_limit:
            self.near_limit = used_bytes > _FAR_AGAIN_RATIO * limit_bytes
        elif used_bytes > NEAR_LIMIT_RATIO * limit_bytes:
            self.near_limit = True
            _log.warning(
                "memory_near_limit",
                used_bytes=used_bytes,
                limit_bytes=limit_bytes,
                detail=f"engines use {gib(used_bytes)} of {gib(limit_bytes)}; MLX slows down near the limit",
            )

    @property
    def used_bytes(self) -> int:
        """What the engines last reported, active and cached."""
        return sum(self._used_bytes.values())

    def forget(self, engine_digest: str) -> None:
        """An engine's process is gone, and its memory with it."""
        self._used_bytes.pop(engine_digest, None)

    def _weights_and_buffers_bytes(self, spec: EngineSpec, ready: Ready | None) -> int:
        """Return the weights, as measured where that is more, and what MLX keeps of freed buffers: on Metal only."""
        weights_bytes = resident_bytes(spec, dequantise=dequantises(spec))
        if ready is not None:
            weights_bytes = max(weights_bytes, ready.active_after_load_bytes)
        metal = spec.kind is EngineKind.MLX and not dequantises(spec)
        return weights_bytes + (self._settings.engine.cache_limit_bytes if metal else 0)

    def _kv_floor_bytes(self, spec: EngineSpec) -> int:
        tokens = min(spec.context_length, self._settings.memory.kv_floor_tokens)
        return planned_kv_bytes([tokens], self.kv_bytes_per_token(spec))

    @property
    def _limit_bytes(self) -> int:
        return self._settings.memory.recommended_working_set_bytes or self._recommended_bytes or self._guess_bytes


def dequantises(spec: EngineSpec) -> bool:
    """Say whether an engine holds this model as float32, as it does where there is no Metal."""
    return spec.kind is EngineKind.MLX and sys.platform != "darwin"
