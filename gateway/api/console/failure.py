"""A refusal as a page, a part of a page or a way to the sign-in, for people; as JSON for programs."""

from typing import Any
from urllib.parse import quote

from litestar import Request, Response
from litestar.exceptions import NotFoundException
from litestar.response import Redirect, Template

from gateway.api.console.headers import SECURITY_HEADERS
from gateway.api.errors import TABLE, answer_error, as_gateway_error
from gateway.api.record import record_of
from gateway.errors import GatewayError, NotFound, Unauthorized

SIGN_IN = "/sign-in"


def wants_page(request: Request[Any, Any, Any]) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _template_for(request: Request[Any, Any, Any]) -> str:
    if not _wants_part(request):
        return "error.html"
    return "partials/refused.html" if request.headers.get("hx-target") == "dialog" else "partials/error.html"


def _wants_part(request: Request[Any, Any, Any]) -> bool:
    return "hx-request" in request.headers


def answer_failure(request: Request[Any, Any, Any], exception: Exception) -> Response[Any]:
    """Handle every exception of the console's routes."""
    if not wants_page(request) and not _wants_part(request):
        return answer_error(request, exception)
    error = as_gateway_error(exception)
    if not isinstance(error, Unauthorized):
        return failed(request, error, _template_for(request))
    record_of(request.scope).code = error.code
    if not _wants_part(request):
        asked = request.url.path + (f"?{query}" if (query := request.url.query) else "")
        return Redirect(f"{SIGN_IN}?next={quote(asked)}", status_code=303, headers=dict(SECURITY_HEADERS))
    headers = {**SECURITY_HEADERS, "hx-redirect": SIGN_IN}
    return Response("", status_code=TABLE[error.code].status, headers=headers, media_type="text/html")


def answer_lost(request: Request[Any, Any, Any], exception: NotFoundException) -> Response[Any]:
    """Handle an address that no route has: a person gets a page that leads on, a program the API's error."""
    if not wants_page(request):
        return answer_error(request, exception)
    return failed(request, NotFound(f"There is no page at {request.url.path}."), "error.html")


def failed(request: Request[Any, Any, Any], error: GatewayError, template: str, **context: object) -> Template:
    """Return a template that says what is wrong, and note that in the request's record."""
    record_of(request.scope).code = error.code
    status = TABLE[error.code].status
    return Template(
        template,
        context={"message": error.message, "status": status, **context},
        status_code=status,
        headers=dict(SECURITY_HEADERS),
    )
