"""`/requests`: what became of a request whose id somebody has, from an error, a line of the log or an exemplar."""

from itertools import islice

from litestar import get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery
from litestar.response import Template

from gateway.service import Gateway

_SHOWN = 100


@get("/requests")
async def show_requests(
    gateway: NamedDependency[Gateway], find: FromQuery[str] = "", failed: FromQuery[bool] = False
) -> Template:
    """List those that are remembered, the latest first; `find` is a part of a request's or a completion's id."""
    part = find.strip()
    found = list(islice(gateway.finished_requests.find(part, failed_only=failed), _SHOWN + 1))
    context = {"part": part, "failed": failed, "found": found[:_SHOWN], "more": len(found) > _SHOWN}
    return Template("requests.html", context=context)


ROUTES: tuple[HTTPRouteHandler, ...] = (show_requests,)
