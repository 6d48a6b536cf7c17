"""The console: pages for people, at `/`, made by the server and kept fresh by htmx.

A page is `Template("name.html", context=...)` of a template that extends `base.html` (blocks `title`, `main` and
`scripts`).
In templates `visitor_of(request)` says who looks (`role`, `may_act`, `token`), `asset("name.js")` where a file of
`assets/` is. Requests that change anything carry the token: htmx sends it by itself, a script takes it from
`<meta name="csrf-token">` into the header `x-csrf-token`. Each module has its handlers in `ROUTES`; each route has its
row in `CONSOLE` of `gateway/api/auth.py`.
"""

from typing import cast

from litestar import Router
from litestar.types import ExceptionHandlersMap

from gateway.api.console import actions, assets, evaluations, overview, playground, requests, signing_in
from gateway.api.console.failure import answer_failure, answer_lost
from gateway.api.console.headers import SECURITY_HEADERS
from gateway.api.console.templating import template_config

__all__ = ["answer_lost", "router", "template_config"]

ROUTES = (
    assets.show_asset,
    *signing_in.ROUTES,
    *overview.ROUTES,
    *actions.ROUTES,
    *evaluations.ROUTES,
    *playground.ROUTES,
    *requests.ROUTES,
)


def router() -> Router:
    return Router(
        path="/",
        route_handlers=ROUTES,
        before_request=assets.prepare,
        response_headers=SECURITY_HEADERS,
        exception_handlers=cast("ExceptionHandlersMap", {Exception: answer_failure}),
    )
