"""`POST /tokenize` and `POST /detokenize`, as vLLM has them: what a text costs, before it is sent."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from litestar import Request, post
from litestar.di import NamedDependency

from gateway.api.asked_route import route_of
from gateway.api.body import BodyDecoder, read_json
from gateway.api.disconnect import ClientDisconnected, unless_disconnected
from gateway.api.record import record_of
from gateway.contracts.tokens import DetokenizeRequest, DetokenizeView, TokenizeRequest, TokenizeView
from gateway.routing import Route
from gateway.service import Gateway

ViewT = TypeVar("ViewT")

_tokenize = BodyDecoder(TokenizeRequest)
_detokenize = BodyDecoder(DetokenizeRequest)


@post("/tokenize", status_code=200)
async def tokenize(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> TokenizeView:
    """Give the tokens of a text, or of messages as a chat completion renders them."""
    body = await read_json(request, _tokenize, gateway.settings.server)
    route = await route_of(request, gateway, body.model)
    return await answered(request, gateway.tokenize(route, body))


@post("/detokenize", status_code=200)
async def detokenize(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> DetokenizeView:
    """Give the text of tokens."""
    body = await read_json(request, _detokenize, gateway.settings.server)
    route = await route_of(request, gateway, body.model)
    return await answered(request, gateway.detokenize(route, body))


async def answered(request: Request[Any, Any, Any], work: Coroutine[None, None, tuple[Route, ViewT]]) -> ViewT:
    """Return the answer, and note who gave it. Raises ClientDisconnected."""
    answers: list[tuple[Route, ViewT]] = []

    async def answer() -> None:
        answers.append(await work)

    if not await unless_disconnected(answer(), request.receive):
        raise ClientDisconnected
    ((route, view),) = answers
    record = record_of(request.scope)
    record.answered = True
    record.routed(route)
    return view
