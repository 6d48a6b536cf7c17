"""The routes of builds: order one, watch it, cancel it."""

from typing import Any

from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.api.body import BodyDecoder, read_json
from gateway.contracts.builds import BuildRequest, BuildView
from gateway.service import Gateway

_build = BodyDecoder(BuildRequest)


@post("/admin/builds", status_code=200)
async def start_build(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> BuildView:
    """Begin a build, and answer with its identifier; at once with the result where it is there."""
    return await gateway.builds.start(await read_json(request, _build, gateway.settings.server))


@get("/admin/builds")
async def list_builds(gateway: NamedDependency[Gateway]) -> tuple[BuildView, ...]:
    return gateway.builds.list()


@get("/admin/builds/{build_id:str}")
async def show_build(build_id: FromPath[str], gateway: NamedDependency[Gateway]) -> BuildView:
    return gateway.builds.show(build_id)


@delete("/admin/builds/{build_id:str}", status_code=200)
async def cancel_build(build_id: FromPath[str], gateway: NamedDependency[Gateway]) -> BuildView:
    """End a build that is under way; nothing is left of it."""
    return await gateway.builds.cancel(build_id)


ROUTES: tuple[HTTPRouteHandler, ...] = (start_build, list_builds, show_build, cancel_build)
