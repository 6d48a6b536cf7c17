"""`/playground`: one question to a model's incumbent and to a candidate, side by side.

The page asks by `POST /v1/chat/completions` as any client does, each side pinned to its Variant.
"""

import asyncio
import enum
from collections.abc import Iterable, Sequence

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery
from litestar.response import Template
from litestar_htmx import HTMXRequest

from gateway.api.auth import models_of
from gateway.api.console.failure import failed
from gateway.api.console.form import read_form
from gateway.contracts.admin import EngineState, VariantView
from gateway.contracts.evaluations import Role
from gateway.contracts.variants import EngineSpec, Variant
from gateway.errors import GatewayError, MemoryPressure
from gateway.fleet.budget import gib
from gateway.models.switches import template_switches
from gateway.service import Gateway


class Presence(enum.StrEnum):
    """Whether a Variant could answer at once."""

    READY = "ready"
    COMING = "coming"
    ABSENT = "absent"
    """Loaded by its first request, or before that."""
    REFUSED = "refused"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one Variant could answer, and what that takes."""

    reference: str
    presence: Presence
    detail: str


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers in one pane."""

    role: Role
    standing: Standing


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """An argument of the chat templates that is on, off, or what each variant has."""

    name: str
    said: tuple[str, ...]
    """What the variants have, in words."""


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What is chosen, and what there is to choose from."""

    model: str
    models: tuple[str, ...]
    loaded: tuple[str, ...]
    """References of variants whose engine is loaded; the incumbent is in neither list."""
    unloaded: tuple[str, ...]
    sides: tuple[Side, ...]
    """The incumbent, and the candidate where one is chosen."""
    switches: tuple[Switch, ...]

    @property
    def candidate(self) -> str | None:
        return self.sides[1].standing.reference if len(self.sides) > 1 else None


@get("/playground")
async def show_playground(
    request: HTMXRequest,
    gateway: NamedDependency[Gateway],
    model: FromQuery[str] = "",
    candidate: FromQuery[str | None] = None,
) -> Template:
    """Show the page; without `candidate` one that is loaded stands there, and with an empty one none."""
    models = models_of(request, [deployment.model for deployment in await gateway.deployments()])
    bench = await _bench(gateway, models, model, candidate) if models else None
    return Template("playground.html", context={"bench": bench})


@post("/playground/engines", status_code=200)
async def load_engine(request: HTMXRequest, gateway: NamedDependency[Gateway]) -> Template:
    """Load what a Variant needs, and answer when it is ready or when that has failed."""
    variant = (await gateway.variant((await read_form(request)).text("variant"))).variant
    try:
        await gateway.load_engine(variant.reference)
    except GatewayError as error:
        refused = Standing(reference=variant.reference, presence=Presence.REFUSED, detail=error.message)
        return failed(request, error, "playground_engine.html", standing=refused)
    return Template("playground_engine.html", context={"standing": _standing(gateway, variant)})


ROUTES: tuple[HTTPRouteHandler, ...] = (show_playground, load_engine)


async def _bench(gateway: Gateway, models: Sequence[str], model: str, candidate: str | None) -> Bench:
    chosen = model if model in models else models[0]
    incumbent = (await gateway.variant((await gateway.deployment(chosen)).incumbent)).variant
    others = [
        view
        for view in reversed(await gateway.variants())
        if view.archived_at is None and view.digest != incumbent.digest
    ]
    loaded = [view for view in others if gateway.fleet.find(view.variant.engine) is not None]
    challenger = _chosen(candidate, others) if candidate is not None else next(iter(loaded), None)
    variants = [incumbent, *([challenger.variant] if challenger else [])]
    return Bench(
        model=chosen,
        models=tuple(models),
        loaded=tuple(view.reference for view in loaded),
        unloaded=tuple(view.reference for view in others if view not in loaded),
        sides=tuple(
            Side(role=role, standing=_standing(gateway, variant)) for role, variant in zip(Role, variants, strict=False)
        ),
        switches=await asyncio.to_thread(_switches, variants),
    )


def _chosen(reference: str, views: Iterable[VariantView]) -> VariantView | None:
    return next((view for view in views if view.reference == reference), None)


def _switches(variants: Sequence[Variant]) -> tuple[Switch, ...]:
    known = [template_switches(variant) for variant in variants]
    names = {name: None for switches in known for name in switches}
    words = {True: "on", False: "off", None: "the template's own"}
    return tuple(Switch(name=name, said=tuple(words[switches.get(name)] for switches in known)) for name in names)


def _standing(gateway: Gateway, variant: Variant) -> Standing:
    presence, detail = _presence(gateway, variant.engine)
    return Standing(reference=variant.reference, presence=presence, detail=detail)


def _presence(gateway: Gateway, spec: EngineSpec) -> tuple[Presence, str]:
    fleet = gateway.fleet
    if fleet.is_exchanged(spec):
        return Presence.COMING, "Its engine is being exchanged; what is asked meanwhile waits."
    engine = fleet.find(spec)
    if engine is not None and engine.state is EngineState.READY:
        return Presence.READY, ""
    if engine is not None:
        presence = Presence.REFUSED if engine.state is EngineState.FAILED else Presence.COMING
        return presence, f"Its engine is {engine.state}. {engine.detail}".rstrip()
    try:
        fleet.check_fits(spec)
    except MemoryPressure as error:
        return Presence.REFUSED, error.message
    machine = fleet.memory.machine
    free_bytes = machine.limit_bytes - machine.reserve_bytes - fleet.planned_bytes()
    needed_bytes = fleet.memory.holding(spec, None).held_bytes
    return Presence.ABSENT, f"It would take {gib(needed_bytes)} of the {gib(free_bytes)} that are left."
