"""Put the HTTP side together."""

from collections.abc import Sequence

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from litestar_htmx import HTMXPlugin

from gateway.api import (
    admin,
    builds,
    chat,
    completions,
    console,
    health,
    keys,
    messages,
    models,
    progress,
    responses,
    tokens,
)
from gateway.api.auth import access_guard
from gateway.api.disconnect import ClientDisconnected
from gateway.api.errors import answer_error, answer_nobody
from gateway.api.headers import limit_headers
from gateway.api.openapi import document_route
from gateway.api.record import name_response, recording
from gateway.api.sessions import Sessions
from gateway.service import Gateway
from gateway.settings import is_loopback

ROUTES: tuple[HTTPRouteHandler, ...] = (
    chat.create_chat_completion,
    completions.create_completion,
    *responses.ROUTES,
    *messages.ROUTES,
    tokens.tokenize,
    tokens.detokenize,
    models.list_models,
    models.retrieve_model,
    health.health,
    health.ready,
    health.metrics,
    *admin.ROUTES,
    *builds.ROUTES,
    *progress.ROUTES,
    *keys.ROUTES,
)
_READ_BY_PAGES = [
    "openai-processing-ms",
    "request-id",
    "retry-after",
    *(f"x-ratelimit-{name}-{of}" for name in ("limit", "remaining", "reset") for of in ("requests", "tokens")),
    "x-gateway-variant",
    "x-request-id",
    "x-should-retry",
]


def create_app(gateway: Gateway) -> ASGIApp:
    """Return the ASGI application over a Gateway that the caller starts before it and stops after it.

    What records requests is outside of Litestar, whose own middleware sees none that no route takes.
    """
    return recording(create_litestar(gateway), gateway.metrics, gateway.finished_requests)


def create_litestar(gateway: Gateway) -> Litestar:
    server, sessions = gateway.settings.server, Sessions()
    loopback = is_loopback(server.host)
    return Litestar(
        route_handlers=[*ROUTES, document_route(ROUTES), console.router()],
        dependencies={
            "gateway": Provide(lambda: gateway, sync_to_thread=False),
            "sessions": Provide(lambda: sessions, sync_to_thread=False),
        },
        guards=[
            limit_headers,
            access_guard(gateway.keys, sessions, loopback=loopback, cors_origins=server.cors_origins),
        ],
        before_send=[name_response],
        exception_handlers={
            Exception: answer_error,
            NotFoundException: console.answer_lost,
            ClientDisconnected: answer_nobody,
        },
        plugins=[HTMXPlugin()],
        template_config=console.template_config(),
        cors_config=_cors(server.cors_origins) if server.cors_origins else None,
        # Litestar's document would be wrong: it shows errors of Litestar's shape, and no body that body.py reads.
        openapi_config=None,
        # structlog is set up by the command line.
        logging_config=None,
    )


def _cors(origins: Sequence[str]) -> CORSConfig:
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=_READ_BY_PAGES,
    )
