"""Limit a request's headers: the server's own limit holds for those that come in pieces only."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from gateway.contracts.error_codes import ErrorCode
from gateway.errors import InvalidRequest

MAX_HEADER_BYTES = 64 * 1024
"""Names and values of all headers together; h11's limit for a request whose end has not come."""


async def limit_headers(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard every route; async, because Litestar runs any other in a thread. Raises InvalidRequest."""
    size_bytes = sum(len(name) + len(value) for name, value in connection.scope["headers"])
    if size_bytes > MAX_HEADER_BYTES:
        raise InvalidRequest(
            f"The request's headers are larger than {MAX_HEADER_BYTES} bytes, the most that this gateway reads.",
            code=ErrorCode.REQUEST_TOO_LARGE,
        )
