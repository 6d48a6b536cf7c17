"""Put the HTTP side together."""

from functools import partial

from litestar import Litestar
from litestar.di import Provide

from gateway.api import admin, chat, health, models
from gateway.api.auth import access_guard
from gateway.api.disconnect import ClientDisconnected
from gateway.api.errors import answer_error, answer_nobody
from gateway.api.record import name_response, recording
from gateway.service import Gateway
from gateway.settings import is_loopback


def create_app(gateway: Gateway) -> Litestar:
    """Return the ASGI application over a Gateway that the caller starts before it and stops after it."""
    return Litestar(
        route_handlers=[
            chat.create_chat_completion,
            models.list_models,
            models.retrieve_model,
            health.health,
            health.ready,
            health.metrics,
            *admin.ROUTES,
        ],
        dependencies={"gateway": Provide(lambda: gateway, sync_to_thread=False)},
        guards=[access_guard(gateway.keys, loopback=is_loopback(gateway.settings.server.host))],
        middleware=[partial(recording, metrics=gateway.metrics)],
        before_send=[name_response],
        exception_handlers={Exception: answer_error, ClientDisconnected: answer_nobody},
        # Litestar's document would be wrong: it shows errors of Litestar's shape, and no body that body.py reads.
        openapi_config=None,
        # structlog is set up by the command line.
        logging_config=None,
    )
