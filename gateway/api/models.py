"""`/v1/models`: the public names, which are all that a request's `model` may say.

Anthropic's clients ask here too, and are answered in their form.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.api.auth import models_of
from gateway.api.paging import page_limit
from gateway.api.record import speaks_anthropic
from gateway.contracts.anthropic import ModelInfo, ModelPage
from gateway.contracts.chat import ModelCard, ModelList
from gateway.errors import InvalidRequest
from gateway.routing import model_not_found
from gateway.service import Gateway

_PAGE_LIMIT = 1000


@get("/v1/models")
async def list_models(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> ModelList | ModelPage:
    """List the models that the caller may ask for; in Anthropic's form where `anthropic-version` is sent."""
    cards = (await _cards(request, gateway)).values()
    return _page(cards, request.query_params) if speaks_anthropic(request.scope) else ModelList(data=tuple(cards))


@get("/v1/models/{model:path}")
async def retrieve_model(
    model: FromPath[str], request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
) -> ModelCard | ModelInfo:
    """Describe one model, likewise. Its name may hold slashes, as a repository id does."""
    name = model.removeprefix("/")
    cards = await _cards(request, gateway)
    if name not in cards:
        raise model_not_found(name, cards)
    return _info(cards[name]) if speaks_anthropic(request.scope) else cards[name]


async def _cards(request: Request[Any, Any, Any], gateway: Gateway) -> dict[str, ModelCard]:
    cards = {card.id: card for card in await gateway.models()}
    return {name: cards[name] for name in models_of(request, cards)}


def _page(cards: Iterable[ModelCard], query: Mapping[str, str]) -> ModelPage:
    """Return the models right behind `after_id`, or right before `before_id`. Raises InvalidRequest."""
    models = [_info(card) for card in sorted(cards, key=lambda card: card.created, reverse=True)]
    ids = [model.id for model in models]
    for field in ("after_id", "before_id"):
        if field in query and query[field] not in ids:
            raise InvalidRequest(f"`{field}` names no model of this gateway.", param=field)
    begin = ids.index(query["after_id"]) + 1 if "after_id" in query else 0
    end = ids.index(query["before_id"]) if "before_id" in query else len(ids)
    asked, limit = models[begin:end], page_limit(query.get("limit"), most=_PAGE_LIMIT)
    page = tuple(asked[-limit:] if "before_id" in query else asked[:limit])
    return ModelPage(
        data=page,
        has_more=len(page) < len(asked),
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
    )


def _info(card: ModelCard) -> ModelInfo:
    return ModelInfo(
        id=card.id,
        display_name=card.id,
        created_at=datetime.fromtimestamp(card.created, UTC).isoformat().replace("+00:00", "Z"),
        max_input_tokens=card.max_model_len,
    )
