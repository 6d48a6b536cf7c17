"""`POST /v1/chat/completions`."""

from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.types import ASGIApp

from gateway.api.answer import Answer
from gateway.api.asked_route import route_of
from gateway.api.body import BodyDecoder, read_json
from gateway.api.chat_form import ChatForm
from gateway.api.record import record_of
from gateway.contracts.chat import ChatRequest
from gateway.service import Gateway

_decoder = BodyDecoder(ChatRequest)


@post("/v1/chat/completions", status_code=200)
async def create_chat_completion(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> ASGIApp:
    """Generate a chat completion, streamed or whole, by the model's incumbent or by the Variant that is pinned."""
    chat = await read_json(request, _decoder, gateway.settings.server)
    route = await route_of(request, gateway, chat.model)
    return Answer(gateway, route, chat, ChatForm(chat), record_of(request.scope))
