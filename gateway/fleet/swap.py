"""Exchange the engine that serves for another, without losing a request.

Three ways:

    shared    both Variants need the same engine: nothing is loaded
    beside    both engines fit the memory: load, warm up, check; switch; the old one goes when its last answer has ended
    in turn   they do not: close the door, let the answers that have begun end, unload, see that the memory is back,
              load, warm up, check; switch; open the door

Who has no row yet is answered by whichever engine serves afterwards. Whatever goes wrong before the switch brings the
old engine back.
"""

import asyncio
import enum
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from gateway.contracts.admin import SwapWay
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.variants import EngineSpec
from gateway.errors import CutBySwap, EngineStartFailed, GatewayError, SwapAbandoned
from gateway.fleet.door import Door
from gateway.fleet.engine import Engine
from gateway.fleet.fleet import Fleet
from gateway.fleet.generation import Terms
from gateway.fleet.line import Claim
from gateway.settings import SwapSettings
from gateway.wire import Submit

_log = structlog.get_logger()

_MEMORY_POLL_S = 0.1


class SwapPoint(enum.StrEnum):
    """Moments of a swap between which something has changed, in their order. A gateway may be killed at any."""

    BEGUN = "begun"
    DOOR_CLOSED = "door_closed"
    """In turn only, as the next three."""
    DRAINED = "drained"
    UNLOADED = "unloaded"
    MEMORY_BACK = "memory_back"
    LOADING = "loading"
    LOADED = "loaded"
    WARM = "warm"
    CHECKED = "checked"
    COMMITTING = "committing"
    """Inside the registry's transaction."""
    COMMITTED = "committed"
    """The registry says the new one; this process routes to the old one yet."""
    SWITCHED = "switched"
    OLD_LEAVING = "old_leaving"
    CONFIRMED = "confirmed"
    """What serves has been read back."""
    RESTORING = "restoring"
    """The old engine is unloaded and the new one has failed."""
    RESTORED = "restored"


def unobserved(_point: SwapPoint) -> None:
    """A swap that nobody looks at."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be exchanged, and how."""

    old: EngineSpec
    new: EngineSpec
    served: frozenset[str]
    """Digests of the engines that Deployments serve by now: they are not unloaded to make room, but for the old one."""
    old_stays: bool
    """Another Deployment serves it too."""
    cut_streams: bool
    warm_up: Submit
    check: Callable[[Engine], Awaitable[None]]
    """Raises GatewayError where the new engine must not serve."""
    turn_away: bool = False
    """Requests for the old engine are refused while it is away, in place of waiting."""


class Swap:
    """One exchange. Use `carried_out` once, and read the rest afterwards."""

    def __init__(self, fleet: Fleet, order: Order, settings: SwapSettings, *, at: Callable[[SwapPoint], None]) -> None:
        """`at` is called at each point that the swap reaches."""
        self.way = SwapWay.BESIDE
        self.gap_s = 0.0
        """For so long no engine took the Deployment's requests."""
        self.drain_s = 0.0
        self.load_s = 0.0
        self._fleet = fleet
        self._order = order
        self._settings = settings
        self._at = at
        self._doors: list[tuple[EngineSpec, Door]] = []
        self._closed_s = 0.0
        self._loaded_new = False

    @asynccontextmanager
    async def carried_out(self) -> AsyncGenerator[None]:
        """Inside the block the new engine is ready: switch there, or raise, and the old one serves on.

        Raises MemoryPressure, EngineError or SwapAbandoned where it does not come to that. A cancelled swap restores
        nothing: whoever cancels it is about to end the process.
        """
        self._at(SwapPoint.BEGUN)
        async with AsyncExitStack() as stack:
            stack.callback(self._open_doors)
            stack.enter_context(self._fleet.exchanging({self._order.old.digest, self._order.new.digest}))
            try:
                await self._bring_up()
                yield
            except Exception:
                await self._restore()
                raise
            self._let_go()

    async def _bring_up(self) -> None:
        old, new = self._order.old, self._order.new
        if old.digest == new.digest:
            self.way = SwapWay.SHARED
            return
        if not self._fleet.fits(new):
            await self._fleet.unload_unused(keep={*self._order.served, new.digest})
        if not self._fleet.fits(new) and not self._order.old_stays and self._fleet.find(old) is not None:
            self.way = SwapWay.IN_TURN
            await self._make_room()
        self._loaded_new = self._fleet.find(new) is None
        started_s = time.monotonic()
        engine = await self._fleet.begin(new)
        self._at(SwapPoint.LOADING)
        await engine.started()
        self.load_s = time.monotonic() - started_s
        self._at(SwapPoint.LOADED)
        await self._warm_up(engine)
        self._at(SwapPoint.WARM)
        await self._order.check(engine)
        self._at(SwapPoint.CHECKED)

    async def _make_room(self) -> None:
        """Unload the old engine, and those that an earlier swap has left to end."""
        old = self._fleet.find(self._order.old)
        engines = [*self._fleet.leaving(), *([old] if old is not None else [])]
        self._fleet.check_fits(self._order.new, without={engine.spec.digest for engine in engines})
        self._fleet.reserve()
        self._close_doors(engines)
        self._at(SwapPoint.DOOR_CLOSED)
        await self._drain(engines)
        self._at(SwapPoint.DRAINED)
        held_bytes = sum(engine.memory.footprint_bytes for engine in engines)
        before_bytes = self._fleet.available_bytes()
        for engine in engines:
            await self._fleet.unload(engine)
        self._at(SwapPoint.UNLOADED)
        await self._see_memory_back(before_bytes, held_bytes)
        self._at(SwapPoint.MEMORY_BACK)

    def _close_doors(self, engines: Sequence[Engine]) -> None:
        self._closed_s = time.monotonic()
        for engine in engines:
            door = self._fleet.close_door(engine.spec)
            if self._order.turn_away:
                door.turn_away()
            self._doors.append((engine.spec, door))
            engine.drain()
            engine.turn_out()
        self._expect(self._settings.drain_timeout_s + self._settings.memory_timeout_s)

    def lasts(self, for_s: float) -> None:
        """Tell those who wait that the new engine is to be used for so long, and the old one loaded after that."""
        self._expect(for_s + self.load_s)

    def _expect(self, opens_in_s: float) -> None:
        for _, door in self._doors:
            door.expect(opens_in_s)

    async def _drain(self, engines: Sequence[Engine]) -> None:
        """Wait for the answers that have begun. Raises SwapAbandoned at the limit, unless they may be cut."""
        limit_s = self._settings.drain_timeout_s
        started_s = time.monotonic()
        ended = await asyncio.gather(*(engine.drained(limit_s) for engine in engines))
        self.drain_s = time.monotonic() - started_s
        if all(ended):
            return
        if not self._order.cut_streams:
            raise SwapAbandoned(
                f"Answers were still under way after {limit_s:g} s, which is swap.drain_timeout_s, and both engines do "
                "not fit the memory; the old one serves on. Ask again later, or cut them with --cut-streams.",
                retry_after_s=limit_s,
            )
        for engine in engines:
            engine.cut(CutBySwap("The answer was cut: its engine had to make room for another model. Send it again."))

    async def _see_memory_back(self, before_bytes: int, held_bytes: int) -> None:
        """Wait until the system shows the memory as free. Raises SwapAbandoned where it does not."""
        self._expect(self._settings.memory_timeout_s)
        deadline_s = time.monotonic() + self._settings.memory_timeout_s
        while not self._fleet.memory.is_back(
            self._order.new, before_bytes=before_bytes, held_bytes=held_bytes, now_bytes=self._fleet.available_bytes()
        ):
            if time.monotonic() > deadline_s:
                raise SwapAbandoned(
                    f"The old engine has ended, and after {self._settings.memory_timeout_s:g} s, which is "
                    "swap.memory_timeout_s, the system does not show its memory as free; it is loaded again.",
                    retry_after_s=None,
                )
            await asyncio.sleep(_MEMORY_POLL_S)

    async def _warm_up(self, engine: Engine) -> None:
        """Generate a few tokens, so that the first client does not pay for what is done once."""
        claim, terms = Claim(accepted=True), Terms(runs_again=False)
        try:
            async with engine.generate(
                self._order.warm_up, SchedulingClass.INTERACTIVE, claim=claim, terms=terms
            ) as answer:
                async for _ in answer:
                    pass
        except GatewayError as error:
            raise EngineStartFailed(f"The new engine failed its first answer: {error.message}") from error

    async def _restore(self) -> None:
        """Have the old engine serve as it did before."""
        old = self._fleet.find(self._order.old)
        if self.way is SwapWay.IN_TURN and old is not None:
            old.resume()
            return
        failed = self._fleet.find(self._order.new)
        if failed is not None and self._loaded_new and (self.way is SwapWay.IN_TURN or not failed.line.is_busy):
            await self._fleet.unload(failed)
        if self.way is SwapWay.IN_TURN:
            await self._bring_back()

    async def _bring_back(self) -> None:
        self._at(SwapPoint.RESTORING)
        try:
            await self._fleet.ensure(self._order.old)
        except GatewayError as error:
            # The next request tries again; until then /ready says that the engine is not loaded.
            _log.error("engine_not_restored", engine=self._order.old.digest, code=error.code, detail=error.message)
        self._at(SwapPoint.RESTORED)

    def _let_go(self) -> None:
        """Have the old engine end after its last answer, and those who wait in its line ask anew."""
        engine = self._fleet.find(self._order.old)
        if self.way is SwapWay.BESIDE and engine is not None and not self._order.old_stays:
            limit_s = self._settings.drain_timeout_s if self._order.cut_streams else None
            self._fleet.retire(self._order.old, drain_timeout_s=limit_s)
            engine.turn_out()
        self._at(SwapPoint.OLD_LEAVING)

    def _open_doors(self) -> None:
        if self._doors:
            self.gap_s = time.monotonic() - self._closed_s
        for spec, _ in self._doors:
            self._fleet.open_door(spec)
        self._doors.clear()


async def vacate(fleet: Fleet, spec: EngineSpec, settings: SwapSettings) -> None:
    """Unload an engine that serves no Deployment. Raises SwapAbandoned where its answers do not end in time."""
    engine = fleet.find(spec)
    if engine is None:
        return
    fleet.close_door(spec)
    try:
        engine.drain()
        if not await engine.drained(settings.drain_timeout_s):
            engine.resume()
            raise SwapAbandoned(
                f"Answers were still under way after {settings.drain_timeout_s:g} s, which is swap.drain_timeout_s; "
                "the engine stays. Ask again later.",
                retry_after_s=settings.drain_timeout_s,
            )
        await fleet.unload(engine)
    finally:
        fleet.open_door(spec)
