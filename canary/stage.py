"""Where the systems are while they are measured: all loaded beside each other, or in turn."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

import msgspec

from canary.client import GatewayClient
from canary.errors import CanaryError, GatewayRefused
from gateway.contracts.admin import EngineView, LoanRequest, VariantView
from gateway.contracts.deployments import Deployment
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Mode
from gateway.contracts.scheduling import SchedulingClass

SWAP_WINDOW_S = 30.0
OFFLINE_WINDOW_S = 900.0
_REST_RATIO = 0.1
"""Of a loan: with less left, nothing is begun in it."""
_POLL_S = 0.2

Note = Callable[[str], None]


class Lineup(msgspec.Struct, frozen=True, kw_only=True):
    """Who is judged against whom."""

    deployment: Deployment
    incumbent: VariantView
    candidates: tuple[VariantView, ...]

    @property
    def views(self) -> tuple[VariantView, ...]:
        """In the order of the record's systems."""
        return self.incumbent, *self.candidates

    def is_served(self, position: int) -> bool:
        """Whether this system is the Deployment's incumbent: `canary compare` gives that role to any variant."""
        return self.views[position].digest == self.deployment.incumbent


class Stage(Protocol):
    mode: Mode

    def bring(self, position: int) -> float | None:
        """Have this system's engine loaded; return the monotonic time at which it goes, None where it stays."""
        ...

    def engine(self, position: int) -> EngineView:
        """Bring it, and return what the gateway says of its engine."""
        ...


class Resident:
    """All are loaded until the stack closes, which unloads what this has loaded, but for what serves by then."""

    mode = Mode.RESIDENT

    def __init__(self, gateway: GatewayClient, lineup: Lineup, *, engines: ExitStack, note: Note) -> None:
        """Raises GatewayRefused with the budget's arithmetic where they do not fit beside each other."""
        self._engines: list[EngineView] = []
        for position, view in enumerate(lineup.views):
            loaded_before = view.variant.engine.digest in {engine.engine_digest for engine in gateway.engines()}
            if not loaded_before:
                note(f"Loading {view.reference}.")
            self._engines.append(gateway.load_engine(view.reference))
            if not loaded_before and not lineup.is_served(position):
                engines.callback(_unload, gateway, view, lineup.deployment.model, note)

    def bring(self, position: int) -> float | None:
        del position
        return None

    def engine(self, position: int) -> EngineView:
        return self._engines[position]


class InTurn:
    """What serves goes on; all others have the memory by loans of so many seconds at most, which end by themselves."""

    def __init__(
        self, gateway: GatewayClient, lineup: Lineup, *, mode: Mode, window_s: float, engines: ExitStack
    ) -> None:
        self.mode = mode
        self.window_s = window_s
        self._gateway = gateway
        self._lineup = lineup
        self._lent: int | None = None
        self._ends_s = 0.0
        gateway.load_engine(lineup.deployment.incumbent)
        engines.callback(self._leave)

    def bring(self, position: int) -> float | None:
        if self._lineup.is_served(position):
            self._give_back()
            return None
        if position != self._lent or self._ends_s - time.monotonic() < _REST_RATIO * self.window_s:
            self._borrow(position)
        return self._ends_s

    def engine(self, position: int) -> EngineView:
        self.bring(position)
        digest = self._lineup.views[position].variant.engine.digest
        return next(engine for engine in self._gateway.engines() if engine.engine_digest == digest)

    def renew(self) -> None:
        """Give back before the next loan, so that production has its turn."""
        self._give_back()

    def _borrow(self, position: int) -> None:
        self._give_back()
        self._let_production_go()
        lent = self._gateway.borrow(
            LoanRequest(
                variant=self._lineup.views[position].reference,
                model=self._lineup.deployment.model,
                for_s=self.window_s,
                turn_away=self.mode is Mode.OFFLINE,
            )
        )
        self._lent, self._ends_s = position, time.monotonic() + lent.ends_in_s

    def _give_back(self) -> None:
        """Also a loan that has ended by itself: it returns when the incumbent serves."""
        if self._lent is not None:
            self._lent = None
            self._gateway.give_back()

    def _let_production_go(self) -> None:
        """Wait until nobody waits who came meanwhile, for a window at most."""
        until_s = time.monotonic() + self.window_s
        while time.monotonic() < until_s:
            queued = self._gateway.status().queued
            if not any(count for of, count in queued.items() if of != SchedulingClass.EVALUATION):
                return
            time.sleep(_POLL_S)

    def _leave(self) -> None:
        """A failure here must not hide how the run ended; the loan ends by itself."""
        try:
            self._give_back()
        except CanaryError:
            return


def set_stage(
    gateway: GatewayClient,
    lineup: Lineup,
    *,
    mode: Mode | None,
    window_s: float | None,
    engines: ExitStack,
    note: Note,
) -> Stage:
    """Return the stage of the mode; where none is asked for, all are loaded if the gateway says that they fit."""
    if mode is None or mode is Mode.RESIDENT:
        try:
            with ExitStack() as loaded:
                stage = Resident(gateway, lineup, engines=loaded, note=note)
                engines.push(loaded.pop_all())
                return stage
        except GatewayRefused as error:
            if mode is Mode.RESIDENT or error.code != ErrorCode.MEMORY_PRESSURE:
                raise
            note(f"Not all fit the memory: {error}")
        mode = Mode.SWAP
    if window_s is None:
        window_s = OFFLINE_WINDOW_S if mode is Mode.OFFLINE else SWAP_WINDOW_S
    what = "is sent away" if mode is Mode.OFFLINE else "waits"
    note(f"The candidates are loaded in turn, for {window_s:g} s at most each time, while production {what}.")
    return InTurn(gateway, lineup, mode=mode, window_s=window_s, engines=engines)


def _unload(gateway: GatewayClient, view: VariantView, model: str, note: Note) -> None:
    """Give the memory back unless the variant serves by now; a failure here must not hide how the run ended."""
    try:
        if gateway.deployment(model).incumbent != view.digest:
            gateway.unload_engine(view.reference)
    except CanaryError as error:
        note(f"{view.reference} stays loaded: {error}")
