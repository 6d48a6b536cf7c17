"""Run the gateway behind uvicorn: bind, start, answer, and end as a signal asks."""

import asyncio
import contextlib
import errno
import gc
import math
import os
import socket
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path

import structlog
import uvicorn

from gateway.api.app import create_app
from gateway.clean_up import clean_up
from gateway.errors import AddressMissing, StartError
from gateway.fleet.blas import engine_environment, find_blas
from gateway.keys import load_keys
from gateway.registry import Registry, StateLock
from gateway.service import Gateway
from gateway.settings import EngineSettings, Settings
from gateway.signals import Signals
from gateway.telemetry.metrics import Metrics

_log = structlog.get_logger()

_BACKLOG = 1024
"""A burst of clients must find a place in the kernel's queue: a reset connection is a lost request."""
_LAST_WORDS_S = 3.0
"""After the limit of the drain, the requests that are still there are told so; then uvicorn cuts the connections."""


def bind(host: str, port: int) -> socket.socket:
    """Take the port before anything slow happens. Raises StartError where that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off for whoever connects.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        refusal = AddressMissing if error.errno == errno.EADDRNOTAVAIL else StartError
        raise refusal(
            f"Cannot listen on {host}:{port} ({error.strerror}); stop what uses it, or choose another with --port."
        ) from error
    listener.listen(_BACKLOG)
    listener.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    return listener


async def serve(
    settings: Settings,
    *,
    prepare: Callable[[Gateway, Registry], Awaitable[None]],
    when_ready: Callable[[str], Awaitable[None]] | None = None,
) -> None:
    """Serve until a signal says stop: the first lets the requests end, the second ends at once.

    `prepare` starts the Gateway with what it is to serve, before any request is answered. `when_ready` is called with
    the base URL once every incumbent is loaded. Raises StartError, or the GatewayError that kept the first engines from
    loading.
    """
    host, port, state_dir = settings.server.host, settings.server.port, Path(settings.state_dir)
    with contextlib.closing(bind(host, port)) as listener, StateLock(state_dir), Signals() as signals:
        await asyncio.to_thread(clean_up, state_dir)
        registry = await Registry.open(state_dir)
        gateway = Gateway(
            settings,
            registry=registry,
            keys=load_keys(settings.keys, environ=os.environ),
            metrics=Metrics(settings.metrics),
            environ=engine_environment(os.environ, blas_of(settings.engine)),
        )
        try:
            await signals.unless_received(prepare(gateway, registry))
            if not signals.received:
                await _serve(gateway, listener, signals, when_ready)
        finally:
            signals.on_second = gateway.hurry
            await gateway.close(at_once=signals.urgent)
            await registry.close()


def blas_of(settings: EngineSettings) -> Path | None:
    match settings.blas:
        case "auto":
            return find_blas()
        case "none":
            return None
        case path:
            return Path(path)


async def _serve(
    gateway: Gateway,
    listener: socket.socket,
    signals: Signals,
    when_ready: Callable[[str], Awaitable[None]] | None,
) -> None:
    drain_timeout_s = gateway.settings.server.drain_timeout_s
    server = _Server(
        uvicorn.Config(
            create_app(gateway),
            lifespan="off",
            log_config=None,
            access_log=False,  # the canonical line of each request is ours
            server_header=False,
            proxy_headers=False,  # nobody asks from where a request comes
            timeout_graceful_shutdown=math.ceil(drain_timeout_s + _LAST_WORDS_S),
        )
    )

    def drain() -> None:
        gateway.stop_admitting()
        server.should_exit = True
        asyncio.get_running_loop().call_later(drain_timeout_s, gateway.cut)

    def hurry() -> None:
        server.force_exit = True

    signals.on_first, signals.on_second = drain, hurry
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    _log.info("gateway_started", url=url, state_dir=gateway.settings.state_dir, pid=os.getpid())
    load = asyncio.create_task(_load(gateway, url, when_ready))
    answer = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.wait([load, answer], return_when=asyncio.FIRST_COMPLETED)
        if load.done() and not load.cancelled() and load.exception() is not None:
            server.should_exit = True
        await answer
    finally:
        load.cancel()
        await asyncio.wait([load])
        _log.info("gateway_stopped", pid=os.getpid())
    if not load.cancelled() and (error := load.exception()) is not None and not signals.received:
        raise error


async def _load(gateway: Gateway, url: str, when_ready: Callable[[str], Awaitable[None]] | None) -> None:
    await gateway.load_incumbents()
    # What the start has made is there to stay: to look through it again and again holds every stream up.
    gc.collect()
    gc.freeze()
    _log.info("gateway_ready", url=url)
    if when_ready is not None:
        await when_ready(url)


class _Server(uvicorn.Server):
    """uvicorn without signals of its own, which it would raise again at its end: `Signals` has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield
