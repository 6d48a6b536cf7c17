"""`/sign-in`, `/sign-out`: a key becomes a session, whose id the browser keeps where no script can read it."""

from typing import Any

from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect, Template
from litestar_htmx import ClientRedirect, HTMXRequest

from gateway.api.auth import SESSION_COOKIE
from gateway.api.console.failure import SIGN_IN, failed
from gateway.api.console.form import read_form
from gateway.api.record import record_of
from gateway.api.sessions import LIFETIME_S, Sessions
from gateway.errors import Forbidden, InvalidRequest, RateLimited, Unauthorized
from gateway.service import Gateway


@get(SIGN_IN)
async def show_sign_in(request: HTMXRequest, gateway: NamedDependency[Gateway]) -> Response[Any]:
    """Ask for a key."""
    if gateway.keys.is_open:
        return Redirect("/", status_code=303)
    destination = _own_path(request.query_params.get("next", "/"))
    return Template("sign_in.html", context={"destination": destination, "message": None})


@post(SIGN_IN, status_code=303)
async def sign_in(
    request: HTMXRequest, gateway: NamedDependency[Gateway], sessions: NamedDependency[Sessions]
) -> Response[Any]:
    """Open a session, or ask again and say why."""
    form = await read_form(request)
    destination = _own_path(form.optional("next") or "/")
    try:
        opened = sessions.sign_in(form.text("key").strip(), gateway.keys)
    except (InvalidRequest, Unauthorized, Forbidden, RateLimited) as error:
        return failed(request, error, "sign_in.html", destination=destination)
    # Whoever changes keys has done with the one until now.
    sessions.end(request.cookies.get(SESSION_COOKIE, ""))
    record_of(request.scope).key = opened.key.name
    return Redirect(destination, status_code=303, cookies=[_cookie(request, opened.id, max_age_s=int(LIFETIME_S))])


@post("/sign-out", status_code=200)
async def sign_out(request: HTMXRequest, sessions: NamedDependency[Sessions]) -> Response[Any]:
    """End the session."""
    sessions.end(request.cookies.get(SESSION_COOKIE, ""))
    response = ClientRedirect(SIGN_IN)
    response.cookies.append(_cookie(request, "", max_age_s=0))
    return response


def _own_path(path: str) -> str:
    """Return the path where it is one of this gateway's, else the overview's."""
    is_path = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_path else "/"


def _cookie(request: HTMXRequest, value: str, *, max_age_s: int) -> Cookie:
    # Behind a proxy that ends TLS the connection here is plain; the page's own origin says what the browser speaks.
    secure = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
    return Cookie(
        key=SESSION_COOKIE, value=value, max_age=max_age_s, path="/", httponly=True, samesite="strict", secure=secure
    )


ROUTES: tuple[HTTPRouteHandler, ...] = (show_sign_in, sign_in, sign_out)
