"""`/v1/responses`: OpenAI's Responses API, and the responses that are kept."""

from collections.abc import Sequence
from typing import Any

from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from gateway.api.answer import Answer
from gateway.api.asked_route import route_of
from gateway.api.auth import key_of
from gateway.api.body import BodyDecoder, read_json
from gateway.api.paging import page_limit
from gateway.api.record import record_of
from gateway.api.response_form import ResponseForm
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.responses import DeletedResponse, Item, ItemList, Response, ResponseRequest
from gateway.errors import InvalidRequest
from gateway.responses import chat_request, listed_items, sent_items
from gateway.service import Gateway

_decoder = BodyDecoder(ResponseRequest)

_PAGE_LIMIT = 100


@post("/v1/responses", status_code=200)
async def create_response(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> ASGIApp:
    """Answer a conversation, streamed or whole, by the model's incumbent or by the Variant that is pinned."""
    body = await read_json(request, _decoder, gateway.settings.server)
    route = await route_of(request, gateway, body.model)
    store, owner = gateway.responses, _owner(request)
    earlier = store.conversation(owner, body.previous_response_id)
    sent = store.resolved(owner, sent_items(body))
    chat = chat_request(body, (*earlier, *sent))

    def keep(response: Response) -> None:
        store.keep(owner, response, (*earlier, *listed_items(sent, response.id)))

    form = ResponseForm(body, keep if store.is_open and body.store is not False else None)
    return Answer(gateway, route, chat, form, record_of(request.scope))


@get("/v1/responses/{response_id:str}")
async def retrieve_response(
    response_id: FromPath[str], request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
) -> Response:
    """Show a response that is kept, whole."""
    _check_query(request, ())
    return gateway.responses.find(_owner(request), response_id).response


@delete("/v1/responses/{response_id:str}", status_code=200)
async def delete_response(
    response_id: FromPath[str], request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
) -> DeletedResponse:
    """Forget a response that is kept; those that continue it stay."""
    gateway.responses.delete(_owner(request), response_id)
    return DeletedResponse(id=response_id)


@get("/v1/responses/{response_id:str}/input_items")
async def list_input_items(
    response_id: FromPath[str], request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
) -> ItemList:
    """List what a response that is kept has answered, earlier turns included; by `order`, the latest first."""
    _check_query(request, ("after", "limit", "order"))
    items = gateway.responses.find(_owner(request), response_id).items
    query = request.query_params
    match query.get("order", "desc"):
        case "desc":
            items = items[::-1]
        case "asc":
            pass
        case _:
            raise InvalidRequest("`order` must be `asc` or `desc`.", param="order")
    rest = _after(items, query.get("after"))
    page = rest[: page_limit(query.get("limit"), most=_PAGE_LIMIT)]
    return ItemList(
        data=page,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
        has_more=len(page) < len(rest),
    )


ROUTES: tuple[HTTPRouteHandler, ...] = (create_response, retrieve_response, delete_response, list_input_items)


def _owner(request: Request[Any, Any, Any]) -> str | None:
    """Return the name of the caller's key, which outlives its secret; None where the gateway has no keys."""
    key = key_of(request)
    return key.name if key else None


def _check_query(request: Request[Any, Any, Any], known: Sequence[str]) -> None:
    for name in request.query_params:
        if name not in known:
            raise InvalidRequest(
                f"`{name[:100]}` is no parameter that this route knows; leave it out.",
                code=ErrorCode.UNKNOWN_PARAMETER,
                param=name[:100],
            )


def _after(items: tuple[Item, ...], item_id: str | None) -> tuple[Item, ...]:
    if item_id is None:
        return items
    for index, item in enumerate(items):
        if item.id == item_id:
            return items[index + 1 :]
    raise InvalidRequest("`after` names no item of this response.", param="after")
