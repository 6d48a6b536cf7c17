"""Lend an evaluation the memory of the engine that serves, for a bounded time, after which it always serves again."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from gateway.contracts.admin import LoanRequest, LoanView, VariantView
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.variants import EngineSpec
from gateway.errors import CutBySwap, GatewayError, InvalidRequest, NotReady
from gateway.fleet.fleet import Fleet
from gateway.fleet.swap import Order, Swap, SwapPoint
from gateway.promotions import Promotions, Routes, shutting_down, warm_up
from gateway.settings import SwapSettings

_log = structlog.get_logger()


class _GivenBack(Exception):
    """Ends the swap without a switch, so that it restores what served."""


class Loans:
    """A loan is a swap that is abandoned when its time has come: it restores the old engine as any other."""

    def __init__(
        self,
        fleet: Fleet,
        routes: Routes,
        promotions: Promotions,
        *,
        settings: SwapSettings,
        at: Callable[[SwapPoint], None],
    ) -> None:
        """`at` is called at each point that a swap reaches."""
        self._fleet = fleet
        self._routes = routes
        self._promotions = promotions
        self._settings = settings
        self._at = at
        self._given_back = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def lend(self, body: LoanRequest, target: VariantView) -> LoanView:
        """Return when the engine of `target` is ready. The loan is carried through also where who asked for it leaves.

        Raises NotReady where one is under way, or an incumbent is being changed; InvalidRequest where it is to be
        longer than requests wait; and what kept the engine from being loaded.
        """
        self._check(body)
        if self._task is not None or self._promotions.one_at_a_time.locked():
            raise NotReady(
                "The memory is lent, or an incumbent is being changed; ask again later.",
                retry_after_s=self._settings.wait_timeout_s,
            )
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._given_back.clear()
        self._task = asyncio.create_task(self._lend(body, target, ready))
        self._task.add_done_callback(self._forget)
        await asyncio.shield(ready)
        return LoanView(variant=target.reference, ends_in_s=body.for_s)

    async def end(self) -> None:
        """End the loan, if there is one; return when what served before serves again."""
        self._given_back.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    def give_up(self) -> None:
        """Leave what is under way, because the process ends: the next start loads the incumbents."""
        if self._task is not None:
            self._task.cancel()

    async def stop(self) -> None:
        self.give_up()
        if self._task is not None:
            await asyncio.wait([self._task])

    def _check(self, body: LoanRequest) -> None:
        name = "swap.offline_limit_s" if body.turn_away else "swap.wait_timeout_s"
        limit_s = self._settings.offline_limit_s if body.turn_away else self._settings.wait_timeout_s
        if body.for_s > limit_s:
            raise InvalidRequest(
                f"for_s is {body.for_s:g}, and {name} allows {limit_s:g}: ask for less, and again later.", param="for_s"
            )

    async def _lend(self, body: LoanRequest, target: VariantView, ready: asyncio.Future[None]) -> None:
        started_s = time.monotonic()
        outcome = ErrorCode.SHUTTING_DOWN.value
        try:
            async with self._promotions.one_at_a_time:
                old = self._incumbent_of(body.model)
                # One that was unloaded because nobody used it would otherwise be loaded by the next request, in vain.
                await self._fleet.ensure(old)
                order = self._order(old, target, turn_away=body.turn_away)
                swap = Swap(self._fleet, order, self._settings, at=self._at)
                async with swap.carried_out():
                    swap.lasts(body.for_s)
                    _resolve(ready)
                    await self._last(body.for_s)
                    self._cut(order)
                    raise _GivenBack  # noqa: TRY301 - it has to leave the block in just this place
        except _GivenBack:
            outcome = "given back" if self._given_back.is_set() else "expired"
        except GatewayError as error:
            outcome = error.code.value
            _resolve(ready, error)
        finally:
            _resolve(ready, shutting_down())
            after_s = round(time.monotonic() - started_s, 3)
            _log.info("loan_ended", model=body.model, variant=target.reference, outcome=outcome, after_s=after_s)

    async def _last(self, for_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._given_back.wait(), for_s)

    def _cut(self, order: Order) -> None:
        """End what the new engine still runs; where the old one is the same, nothing was lent."""
        engine = self._fleet.find(order.new)
        if engine is not None and order.new.digest != order.old.digest:
            engine.cut(CutBySwap("The loan of the memory has ended. Send it again."))

    def _incumbent_of(self, model: str) -> EngineSpec:
        return {deployment.model: variant for deployment, variant in self._routes.incumbents()}[model].engine

    def _order(self, old: EngineSpec, target: VariantView, *, turn_away: bool) -> Order:
        async def unchecked(_: object) -> None:
            """Nothing is served by it but what names it."""

        served = frozenset(variant.engine.digest for _, variant in self._routes.incumbents())
        return Order(
            old=old,
            new=target.variant.engine,
            served=served,
            old_stays=False,
            cut_streams=False,
            warm_up=warm_up(target.variant),
            check=unchecked,
            turn_away=turn_away,
        )

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("loan_failed", exc_info=error)


def _resolve(ready: asyncio.Future[None], error: GatewayError | None = None) -> None:
    if ready.done():
        return
    if error is None:
        ready.set_result(None)
    else:
        ready.set_exception(error)
        ready.exception()  # who asked may have left
