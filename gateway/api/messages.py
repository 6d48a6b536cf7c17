"""`/v1/messages`: Anthropic's Messages API."""

from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from gateway.anthropic import chat_request, named
from gateway.api.answer import Answer
from gateway.api.asked_route import route_of
from gateway.api.body import BodyDecoder, read_json
from gateway.api.message_form import MessageForm
from gateway.api.record import record_of
from gateway.api.tokens import answered
from gateway.contracts.anthropic import CountTokensRequest, MessageRequest, MessageTokenCount
from gateway.errors import RequestError
from gateway.service import Gateway

_decoder = BodyDecoder(MessageRequest)
_counted_decoder = BodyDecoder(CountTokensRequest)


@post("/v1/messages", status_code=200)
async def create_message(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> ASGIApp:
    """Answer a conversation, streamed or whole, by the model's incumbent or by the Variant that is pinned."""
    body = await read_json(request, _decoder, gateway.settings.server)
    route = await route_of(request, gateway, body.model)
    return Answer(gateway, route, chat_request(body), MessageForm(body), record_of(request.scope))


@post("/v1/messages/count_tokens", status_code=200)
async def count_tokens(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> MessageTokenCount:
    """Count the tokens of a prompt, as the model's chat template renders it."""
    body = await read_json(request, _counted_decoder, gateway.settings.server)
    route = await route_of(request, gateway, body.model)
    try:
        count = await answered(request, gateway.count_tokens(route, chat_request(body)))
    except RequestError as error:
        raise named(error) from None
    return MessageTokenCount(input_tokens=count)


ROUTES: tuple[HTTPRouteHandler, ...] = (create_message, count_tokens)
