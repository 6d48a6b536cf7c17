"""`/v1/models`: the public names, which are all that a request's `model` may say."""

from typing import Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.api.auth import models_of
from gateway.contracts.chat import ModelCard, ModelList
from gateway.routing import model_not_found
from gateway.service import Gateway


@get("/v1/models")
async def list_models(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> ModelList:
    """List the models that this gateway serves, and the caller's key may ask for."""
    return ModelList(data=tuple((await _cards(request, gateway)).values()))


@get("/v1/models/{model:path}")
async def retrieve_model(
    model: FromPath[str], request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
) -> ModelCard:
    """Describe one model. Its name may hold slashes, as a repository id does."""
    name = model.removeprefix("/")
    cards = await _cards(request, gateway)
    if name not in cards:
        raise model_not_found(name, cards)
    return cards[name]


async def _cards(request: Request[Any, Any, Any], gateway: Gateway) -> dict[str, ModelCard]:
    cards = {card.id: card for card in await gateway.models()}
    return {name: cards[name] for name in models_of(request, cards)}
