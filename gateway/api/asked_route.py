"""Where a request goes, from its `model`, its headers and its key: the same for every route that an engine answers."""

from typing import Any

import msgspec
from litestar import Request

from gateway.api.auth import demand, models_of, scheduling_class_of
from gateway.api.record import record_of
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.keys import KeyRole
from gateway.errors import InvalidRequest
from gateway.routing import Route, model_not_found
from gateway.service import Gateway

PIN_HEADER = "x-gateway-variant"
PREFIX_CACHE_HEADER = "x-gateway-prefix-cache"


async def route_of(request: Request[Any, Any, Any], gateway: Gateway, model: str | None) -> Route:
    """Return the route, and write it into the request's record. None is the one model where one is served.

    Raises InvalidRequest, Forbidden, NotFound.
    """
    pin = request.headers.get(PIN_HEADER)
    if pin is not None:
        demand(request, KeyRole.EVALUATION, f"The header {PIN_HEADER}")
    allowed = models_of(request, [deployment.model for deployment in await gateway.deployments()])
    if model is None:
        model = _only_model(allowed)
    elif model not in allowed:
        raise model_not_found(model, allowed)
    route = await gateway.route(model, pin, scheduling_class_of(request))
    route = msgspec.structs.replace(route, prefix_cache=_prefix_cache(request.headers.get(PREFIX_CACHE_HEADER, "on")))
    record_of(request.scope).routed(route)
    return route


def _only_model(served: list[str]) -> str:
    if len(served) == 1:
        return served[0]
    raise InvalidRequest(
        f"`model` is missing; this gateway serves: {', '.join(sorted(served))}.",
        code=ErrorCode.MISSING_PARAMETER,
        param="model",
    )


def _prefix_cache(value: str) -> bool:
    """Return whether the request shares KV with others. A header, because OpenAI's body has no field for it."""
    match value:
        case "on":
            return True
        case "off":
            return False
        case _:
            raise InvalidRequest(f"The header {PREFIX_CACHE_HEADER} must be `on` or `off`.", param=PREFIX_CACHE_HEADER)
