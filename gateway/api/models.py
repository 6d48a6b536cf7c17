"""`/v1/models`: the public names, which are all that a request's `model` may say."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.contracts.chat import ModelCard, ModelList
from gateway.routing import model_not_found
from gateway.service import Gateway


@get("/v1/models")
async def list_models(gateway: NamedDependency[Gateway]) -> ModelList:
    """List the models that this gateway serves."""
    return ModelList(data=await gateway.models())


@get("/v1/models/{model:path}")
async def retrieve_model(model: FromPath[str], gateway: NamedDependency[Gateway]) -> ModelCard:
    """Describe one model. Its name may hold slashes, as a repository id does."""
    name = model.removeprefix("/")
    cards = {card.id: card for card in await gateway.models()}
    if name not in cards:
        raise model_not_found(name, cards)
    return cards[name]
