"""A Gateway of scripted engines, without HTTP, for tests of what happens while its incumbent changes."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gateway.contracts.admin import PromotionRequest, PromotionView, RegisterVariant, VariantView
from gateway.contracts.chat import ChatRequest
from gateway.contracts.deployments import Deployment, GatePolicy, Promotion
from gateway.contracts.messages import ChatMessage
from gateway.errors import GatewayError
from gateway.fleet.swap import SwapPoint
from gateway.keys import KeyRing
from gateway.registry import Registry
from gateway.routing import Route
from gateway.service import Gateway
from gateway.settings import EngineSettings, MemorySettings, QueueSettings, Settings, SwapSettings
from gateway.telemetry.metrics import Metrics
from tests.support.scripted_model import write_scripted_model

MODEL = "tutor"
MIB = 1024**2
ROOM_FOR_ONE = MemorySettings(recommended_working_set_bytes=14 * MIB, reserve_bytes=0, kv_floor_tokens=256)
"""Of two models of SIZE, one fits."""
SIZE = f"weights_bytes = {8 * MIB}\ncontext_length = 4096\nkv_bytes_per_token = 16\n"
QUICK = EngineSettings(restart_backoff_initial_s=0.05, restart_backoff_max_s=0.2, stop_timeout_s=2, max_rows=8)


@dataclass
class Points:
    """Notes the points that a swap reaches, and does at one what a test wants to happen there."""

    reached: list[SwapPoint] = field(default_factory=list[SwapPoint])
    then: dict[SwapPoint, Callable[[], None]] = field(default_factory=dict[SwapPoint, Callable[[], None]])

    def __call__(self, point: SwapPoint) -> None:
        self.reached.append(point)
        if action := self.then.get(point):
            action()


@dataclass
class Answer:
    """Of one request: which variant answered, and what; or the error that ended it."""

    variant: str = ""
    text: str = ""
    finish_reason: str | None = None
    error: GatewayError | None = None
    terminal_events: int = 0
    began: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with the first token."""


@dataclass
class Swapping:
    gateway: Gateway
    registry: Registry
    variants: dict[str, VariantView]
    points: Points

    async def deployment(self) -> Deployment:
        return await self.registry.deployment(MODEL)

    async def promote(self, name: str, *, cut_streams: bool = False) -> PromotionView:
        revision = (await self.deployment()).revision
        return await self.gateway.promote(
            PromotionRequest(
                model=MODEL,
                expected_revision=revision,
                variant=self.variants[name].digest,
                override_reason="a test",
                cut_streams=cut_streams,
            )
        )

    async def roll_back(self) -> PromotionView:
        revision = (await self.deployment()).revision
        return await self.gateway.promote(PromotionRequest(model=MODEL, expected_revision=revision, rollback=True))

    async def log(self) -> list[Promotion]:
        """Return the audit log without the bootstrap, oldest first."""
        return list(reversed(await self.registry.promotions(MODEL)))[1:]

    async def route(self, pin: str | None = None) -> Route:
        return await self.gateway.route(MODEL, self.variants[pin].digest if pin is not None else None)

    def loaded(self) -> set[str]:
        """Return the names of the models whose engines are there."""
        digests = {engine.spec.digest for engine in self.gateway.fleet.engines}
        return {name for name, view in self.variants.items() if view.variant.engine.digest in digests}

    async def ask(
        self,
        text: str = "hello",
        *,
        pin: str | None = None,
        route: Route | None = None,
        into: Answer | None = None,
        n: int = 1,
    ) -> Answer:
        """Send one request and read its answer to the end."""
        answer = into or Answer()
        request = ChatRequest(model=MODEL, messages=(ChatMessage(role="user", content=text),), stream=True, n=n)
        try:
            route = route or await self.route(pin)
            async with self.gateway.generate(route, request) as (answered_by, choices):
                answer.variant = answered_by.variant.name
                async for _, delta in choices:
                    answer.text += delta.text
                    answer.began.set()
                    if delta.finish_reason is not None:
                        answer.finish_reason = delta.finish_reason
                        answer.terminal_events += 1
        except GatewayError as error:
            answer.error = error
            answer.terminal_events += 1
        answer.began.set()
        return answer


@asynccontextmanager
async def swapping(
    state_dir: Path,
    scripts: dict[str, str],
    *,
    memory: MemorySettings | None = None,
    swap: SwapSettings | None = None,
    queue: QueueSettings | None = None,
    engine: EngineSettings = QUICK,
    others: Sequence[tuple[str, str]] = (),
) -> AsyncGenerator[Swapping]:
    """Serve the first of the models as MODEL; the rest is registered. `others` are more Deployments (model, name)."""
    settings = Settings(
        state_dir=str(state_dir),
        memory=memory or MemorySettings(),
        swap=swap or SwapSettings(),
        queue=queue or QueueSettings(),
        engine=engine,
    )
    registry = await Registry.open(state_dir)
    points = Points()
    gateway = Gateway(
        settings,
        registry=registry,
        keys=KeyRing(),
        metrics=Metrics(),
        environ=os.environ,
        at_swap_point=points,
    )
    try:
        await gateway.start()
        variants: dict[str, VariantView] = {}
        for name, script in scripts.items():
            directory = write_scripted_model(state_dir / "sources" / name, script)
            variants[name] = await gateway.register_variant(RegisterVariant(source=str(directory)))
        for model, name in ((MODEL, next(iter(scripts))), *others):
            deployment = await registry.create_deployment(
                model, incumbent=variants[name].digest, gate=GatePolicy(suite="smoke", profile="seed")
            )
            gateway.adopt(deployment)
        await gateway.load_incumbents()
        yield Swapping(gateway, registry, variants, points)
    finally:
        await gateway.close()
        await registry.close()


@asynccontextmanager
async def reopened(state_dir: Path) -> AsyncGenerator[Swapping]:
    """Serve what the registry of a gateway that is gone says."""
    registry = await Registry.open(state_dir)
    settings = Settings(state_dir=str(state_dir), engine=QUICK)
    gateway = Gateway(settings, registry=registry, keys=KeyRing(), metrics=Metrics(), environ=os.environ)
    try:
        await gateway.start()
        await gateway.load_incumbents()
        variants = {view.variant.name: view for view in await registry.variants()}
        yield Swapping(gateway, registry, variants, Points())
    finally:
        await gateway.close()
        await registry.close()


def prompt_variant(view: VariantView, system: str) -> VariantView:
    """Return a view of a Variant that differs from another in its prompt alone."""
    prompt = msgspec.structs.replace(view.variant.prompt, system=system)
    variant = msgspec.structs.replace(view.variant, prompt=prompt)
    return msgspec.structs.replace(view, variant=variant, digest=variant.digest, reference=variant.reference)
