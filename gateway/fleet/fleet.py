"""All engines of this machine, by the digest of their EngineSpec: loaded within the memory budget, shared, unloaded."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import psutil
import structlog

from gateway.contracts.admin import EngineState
from gateway.contracts.variants import EngineKind, EngineSpec
from gateway.errors import GatewayError, MemoryPressure
from gateway.fleet.budget import resident_bytes, shortfall
from gateway.fleet.client import Generation
from gateway.fleet.engine import Engine
from gateway.fleet.process import ProcessExit
from gateway.settings import Settings
from gateway.wire import Submit

_log = structlog.get_logger()

_DEFAULT_WORKING_SET_RATIO = 0.75
"""Of the machine's memory, which is about what Metal recommends."""
_RETRY_AFTER_MEMORY_S = 30.0


class Fleet:
    def __init__(
        self, settings: Settings, *, environ: Mapping[str, str], on_exit: Callable[[EngineSpec, ProcessExit], None]
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._on_exit = on_exit
        self._engines: dict[str, Engine] = {}
        self._retiring: dict[str, asyncio.Task[None]] = {}

    @property
    def engines(self) -> Iterable[Engine]:
        return self._engines.values()

    def find(self, spec: EngineSpec) -> Engine | None:
        return self._engines.get(spec.digest)

    async def ensure(self, spec: EngineSpec) -> Engine:
        """Return the engine of this spec, loading it where it is not; wait until it is ready.

        Raises MemoryPressure with the arithmetic where it does not fit beside the others, EngineStartFailed with the
        engine's sentence where it cannot load.
        """
        engine = self._engines.get(spec.digest)
        if engine is not None and engine.state is EngineState.UNLOADING:
            await asyncio.wait([self.retire(spec)])  # its memory comes back first
            engine = self._engines.get(spec.digest)
        if engine is None:
            engine = self._load(spec)
        try:
            await engine.started()
        except GatewayError as error:
            if self._engines.get(spec.digest) is engine:
                del self._engines[spec.digest]
            _log.error("engine_start_failed", engine=spec.digest, code=error.code, detail=error.message)
            raise
        return engine

    @asynccontextmanager
    async def generate(self, spec: EngineSpec, submit: Submit) -> AsyncGenerator[Generation]:
        """Run one request on the engine of this spec, which is loaded for it where need be."""
        engine = self._engines.get(spec.digest)
        if engine is None or not engine.serving:
            engine = await self.ensure(spec)
        async with engine.generate(submit) as generation:
            yield generation

    def retire(self, spec: EngineSpec, *, drain_timeout_s: float | None = None) -> asyncio.Task[None]:
        """Unload an engine when its requests have ended, `server.drain_timeout_s` at most."""
        digest = spec.digest
        if digest not in self._retiring:
            limit_s = self._settings.server.drain_timeout_s if drain_timeout_s is None else drain_timeout_s
            task = asyncio.create_task(self._retire(digest, limit_s))
            self._retiring[digest] = task
            task.add_done_callback(lambda _: self._retiring.pop(digest))
        return self._retiring[digest]

    def retire_idle(self, *, keep: set[str]) -> None:
        """Unload the engines that nothing keeps and that have been idle for `engine.idle_unload_s`."""
        for engine in list(self._engines.values()):
            if engine.spec.digest not in keep and engine.idle_s > self._settings.engine.idle_unload_s:
                self.retire(engine.spec)

    async def close(self) -> None:
        """Unload everything now: whoever closes a fleet has ended its requests."""
        for engine in list(self._engines.values()):
            self.retire(engine.spec, drain_timeout_s=0)
        if self._retiring:
            await asyncio.wait(self._retiring.values())

    def predicted_bytes(self, spec: EngineSpec) -> int:
        return resident_bytes(spec, dequantise=False)

    def _load(self, spec: EngineSpec) -> Engine:
        self._check_budget(spec)
        engine = Engine(
            spec,
            settings=self._settings.engine,
            queue=self._settings.queue,
            environ=self._environ,
            on_exit=self._on_exit,
        )
        self._engines[spec.digest] = engine
        _log.info("engine_loading", engine=spec.digest, kind=spec.kind, predicted_bytes=self.predicted_bytes(spec))
        return engine

    async def _retire(self, digest: str, drain_timeout_s: float) -> None:
        engine = self._engines.get(digest)
        if engine is None:
            return
        await engine.stop(drain_timeout_s=drain_timeout_s)
        self._engines.pop(digest, None)
        _log.info("engine_unloaded", engine=digest, detail=engine.detail)

    def _check_budget(self, spec: EngineSpec) -> None:
        loaded = [self._resident_bytes(engine.spec) for engine in self._engines.values()]
        lacking = shortfall(
            self._resident_bytes(spec),
            loaded_bytes=loaded,
            limit_bytes=self._limit_bytes(),
            reserve_bytes=self._settings.memory.reserve_bytes,
        )
        if lacking is not None:
            raise MemoryPressure(
                f"The engine does not fit: {lacking}. Unload another (DELETE /admin/engines/...), or raise "
                "memory.recommended_working_set_bytes.",
                retry_after_s=_RETRY_AFTER_MEMORY_S,
            )

    def _resident_bytes(self, spec: EngineSpec) -> int:
        engine = self._engines.get(spec.digest)
        if engine is not None and engine.ready is not None:
            return engine.ready.active_after_load_bytes
        return resident_bytes(spec, dequantise=spec.kind is EngineKind.MLX and sys.platform != "darwin")

    def _limit_bytes(self) -> int:
        setting = self._settings.memory.recommended_working_set_bytes
        if setting is not None:
            return setting
        for engine in self._engines.values():
            if engine.ready is not None and engine.ready.recommended_working_set_bytes is not None:
                return engine.ready.recommended_working_set_bytes
        return round(psutil.virtual_memory().total * _DEFAULT_WORKING_SET_RATIO)
