"""`POST /v1/completions`, OpenAI's older route: a text is continued as it stands."""

from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.types import ASGIApp

from gateway.api.answer import Answer
from gateway.api.asked_route import route_of
from gateway.api.body import BodyDecoder, read_json
from gateway.api.completion_form import CompletionForm
from gateway.api.record import record_of
from gateway.contracts.completions import CompletionRequest
from gateway.service import Gateway

_decoder = BodyDecoder(CompletionRequest)


@post("/v1/completions", status_code=200)
async def create_completion(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> ASGIApp:
    """Continue texts, streamed or whole, by the model's incumbent or by the Variant that is pinned."""
    body = await read_json(request, _decoder, gateway.settings.server)
    route = await route_of(request, gateway, body.model)
    return Answer(gateway, route, body, CompletionForm(body), record_of(request.scope))
