"""How far evaluations are that go on: canary posts it, the console and scripts read it."""

from typing import Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler

from gateway.api.body import BodyDecoder, read_json
from gateway.contracts.progress import RunProgress, RunView
from gateway.service import Gateway

_progress = BodyDecoder(RunProgress)


@post("/admin/progress", status_code=204)
async def post_progress(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> None:
    """Say how far an evaluation is, or that it has ended; what is not repeated for a while is forgotten."""
    await gateway.note_progress(await read_json(request, _progress, gateway.settings.server))


@get("/admin/progress")
async def list_progress(gateway: NamedDependency[Gateway]) -> tuple[RunView, ...]:
    """List the evaluations that go on."""
    return gateway.runs.current()


ROUTES: tuple[HTTPRouteHandler, ...] = (post_progress, list_progress)
