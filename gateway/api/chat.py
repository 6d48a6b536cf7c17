"""`POST /v1/chat/completions`."""

from typing import Any

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.types import ASGIApp

from gateway.api.answer import ChatAnswer
from gateway.api.auth import demand, scheduling_class_of
from gateway.api.body import BodyDecoder, read_json
from gateway.api.record import record_of
from gateway.contracts.chat import ChatRequest
from gateway.errors import InvalidRequest
from gateway.service import Gateway
from gateway.settings import KeyRole

PREFIX_CACHE_HEADER = "x-gateway-prefix-cache"

_decoder = BodyDecoder(ChatRequest)


@post("/v1/chat/completions", status_code=200)
async def create_chat_completion(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> ASGIApp:
    """Generate a chat completion, streamed or whole, by the model's incumbent or by the Variant that is pinned."""
    chat = await read_json(request, _decoder, gateway.settings.server)
    if chat.stream_options is not None and not chat.stream:
        raise InvalidRequest("`stream_options` is allowed only where `stream` is true.", param="stream_options")
    pin = request.headers.get("x-gateway-variant")
    if pin is not None:
        demand(request, KeyRole.EVALUATION, "The header x-gateway-variant")
    route = await gateway.route(chat.model, pin, scheduling_class_of(request))
    route = msgspec.structs.replace(route, prefix_cache=_prefix_cache(request.headers.get(PREFIX_CACHE_HEADER, "on")))
    record = record_of(request.scope)
    record.stream = bool(chat.stream)
    record.routed(route)
    return ChatAnswer(gateway, route, chat, record)


def _prefix_cache(value: str) -> bool:
    """Return whether the request shares KV with others. A header, because OpenAI's body has no field for it."""
    match value:
        case "on":
            return True
        case "off":
            return False
        case _:
            raise InvalidRequest(f"The header {PREFIX_CACHE_HEADER} must be `on` or `off`.", param=PREFIX_CACHE_HEADER)
