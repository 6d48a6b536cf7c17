"""A Gateway with scripted engines behind a real HTTP server, in a thread of the test's process."""

import asyncio
import os
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn

from gateway.api.app import create_app
from gateway.contracts.admin import RegisterVariant
from gateway.contracts.deployments import GatePolicy
from gateway.contracts.keys import KeyRole
from gateway.keys import KeyRing, load_keys
from gateway.registry import Registry
from gateway.server import bind
from gateway.service import Gateway
from gateway.settings import KeySettings, Settings
from gateway.telemetry.metrics import Metrics

SCRIPTED = Path(__file__).parent / "scripted"
_START_TIMEOUT_S = 120.0
"""An engine with a real model loads meanwhile, on a machine that may do a great deal else."""
_STOP_TIMEOUT_S = 15.0


class NoCache:
    """Of digests: the files of tests are read quickly."""

    def cached_file_digest(self, path: str, size_bytes: int, mtime_ns: int, inode: int) -> str | None:
        del path, size_bytes, mtime_ns, inode

    def store_file_digest(self, path: str, size_bytes: int, mtime_ns: int, inode: int, digest: str) -> None:
        del path, size_bytes, mtime_ns, inode, digest


@dataclass(frozen=True)
class Served:
    url: str
    references: dict[str, str]
    """`name@digest` of each model by the name of its directory."""


def key_of_each_role() -> KeyRing:
    """Return keys of their roles' names; each secret is `secret-` and that name."""
    return load_keys(
        [KeySettings(name=role.value, role=role, secret_env=role.value) for role in KeyRole],
        environ={role.value: f"secret-{role}" for role in KeyRole},
    )


@contextmanager
def serving(settings: Settings, models: Sequence[Path], *, keys: KeyRing | None = None) -> Generator[Served]:
    """Serve each model directory under its own name, its engine loaded, for the time of the context."""
    listener = bind("127.0.0.1", 0)
    started: Future[tuple[uvicorn.Server, dict[str, str]]] = Future()

    async def serve() -> None:
        registry = await Registry.open(Path(settings.state_dir))
        metrics = Metrics(settings.metrics)
        gateway = Gateway(settings, registry=registry, keys=keys or KeyRing(), metrics=metrics, environ=os.environ)
        try:
            references = await _start(gateway, registry, models)
            config = uvicorn.Config(create_app(gateway), lifespan="off", log_config=None, timeout_graceful_shutdown=5)
            server = uvicorn.Server(config)
            started.set_result((server, references))
            await server.serve(sockets=[listener])
        finally:
            await gateway.close()
            await registry.close()

    def run() -> None:
        try:
            asyncio.run(serve())
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        server, references = started.result(_START_TIMEOUT_S)
        try:
            yield Served(url=f"http://127.0.0.1:{listener.getsockname()[1]}", references=references)
        finally:
            server.should_exit = True
    finally:
        thread.join(_STOP_TIMEOUT_S)
        listener.close()
    assert not thread.is_alive(), "the server did not stop"


async def _start(gateway: Gateway, registry: Registry, models: Sequence[Path]) -> dict[str, str]:
    await gateway.start()
    references: dict[str, str] = {}
    for model in models:
        view = await gateway.register_variant(RegisterVariant(source=str(model)))
        references[model.name] = view.reference
        gateway.adopt(
            await registry.create_deployment(
                model.name, incumbent=view.digest, gate=GatePolicy(suite="smoke", profile="seed")
            )
        )
    await gateway.load_incumbents()
    return references


def held_rows(client: httpx.Client, reference: str) -> int:
    """Return the rows of the engine that serves the Variant, as the gateway shows them."""
    engines = client.get("/admin/engines").raise_for_status().json()
    return next(engine["rows"] for engine in engines if reference in engine["variants"])
