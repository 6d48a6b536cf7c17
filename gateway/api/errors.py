"""The table of HTTP statuses, and every error in OpenAI's shape, or in Anthropic's for its clients."""

import math
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import structlog
from litestar import MediaType, Request, Response
from litestar.exceptions import ClientException, HTTPException, MethodNotAllowedException, NotFoundException

from gateway.api.auth import ACCESS
from gateway.api.disconnect import ClientDisconnected
from gateway.api.record import record_of, speaks_anthropic
from gateway.contracts.anthropic import ErrorType, MessageError, MessageErrorBody
from gateway.contracts.chat import ErrorBody, ErrorObject
from gateway.contracts.error_codes import ErrorCode
from gateway.errors import GatewayError, InvalidRequest, NotFound, RateLimited, UnavailableError

_log = structlog.get_logger(__name__)
_encoder = msgspec.json.Encoder()


class ErrorRow(NamedTuple):
    status: int
    type: str
    """OpenAI's coarse class, which its client libraries show."""


_OFFERED = ("/v1/", "/tokenize", "/detokenize")
"""Where the routes begin that a client looks for."""
_INVALID = "invalid_request_error"
_SERVER = "server_error"

TABLE: Mapping[ErrorCode, ErrorRow] = {
    ErrorCode.INVALID_JSON: ErrorRow(400, _INVALID),
    ErrorCode.INVALID_TYPE: ErrorRow(400, _INVALID),
    ErrorCode.INVALID_VALUE: ErrorRow(400, _INVALID),
    ErrorCode.MISSING_PARAMETER: ErrorRow(400, _INVALID),
    ErrorCode.UNKNOWN_PARAMETER: ErrorRow(400, _INVALID),
    ErrorCode.CONTEXT_LENGTH_EXCEEDED: ErrorRow(400, _INVALID),
    ErrorCode.REQUEST_TOO_LARGE: ErrorRow(413, _INVALID),
    ErrorCode.REQUEST_CRASHES_ENGINE: ErrorRow(400, _INVALID),
    ErrorCode.PREVIOUS_RESPONSE_NOT_FOUND: ErrorRow(400, _INVALID),
    ErrorCode.INVALID_API_KEY: ErrorRow(401, _INVALID),
    ErrorCode.PERMISSION_DENIED: ErrorRow(403, _INVALID),
    ErrorCode.NOT_FOUND: ErrorRow(404, _INVALID),
    ErrorCode.METHOD_NOT_ALLOWED: ErrorRow(405, _INVALID),
    ErrorCode.MODEL_NOT_FOUND: ErrorRow(404, _INVALID),
    ErrorCode.VARIANT_NOT_FOUND: ErrorRow(404, _INVALID),
    ErrorCode.MODEL_UNREADABLE: ErrorRow(422, _INVALID),
    ErrorCode.QUEUE_FULL: ErrorRow(429, "rate_limit_error"),
    ErrorCode.RATE_LIMIT_EXCEEDED: ErrorRow(429, "requests"),
    ErrorCode.NOT_READY: ErrorRow(503, _SERVER),
    ErrorCode.SHUTTING_DOWN: ErrorRow(503, _SERVER),
    ErrorCode.MEMORY_PRESSURE: ErrorRow(503, _SERVER),
    ErrorCode.SWAP_ABANDONED: ErrorRow(503, _SERVER),
    ErrorCode.CUT_BY_SWAP: ErrorRow(503, _SERVER),
    ErrorCode.ENGINE_CRASHED: ErrorRow(500, _SERVER),
    ErrorCode.ENGINE_FAULT: ErrorRow(500, _SERVER),
    ErrorCode.ENGINE_START_FAILED: ErrorRow(503, _SERVER),
    ErrorCode.ENGINE_FAILING: ErrorRow(503, _SERVER),
    ErrorCode.ENGINE_DIFFERS: ErrorRow(503, _SERVER),
    ErrorCode.REVISION_CONFLICT: ErrorRow(409, _INVALID),
    ErrorCode.PROMOTION_REFUSED: ErrorRow(409, _INVALID),
    ErrorCode.EVALUATION_EXISTS: ErrorRow(409, _INVALID),
    ErrorCode.EVALUATION_INVALID: ErrorRow(422, _INVALID),
    ErrorCode.NOTHING_TO_ROLL_BACK: ErrorRow(409, _INVALID),
    ErrorCode.VARIANT_IN_USE: ErrorRow(409, _INVALID),
    ErrorCode.VARIANT_ARCHIVED: ErrorRow(409, _INVALID),
    ErrorCode.KEY_EXISTS: ErrorRow(409, _INVALID),
    ErrorCode.KEY_NOT_FOUND: ErrorRow(404, _INVALID),
    ErrorCode.KEY_PROTECTED: ErrorRow(409, _INVALID),
    ErrorCode.INTERNAL_ERROR: ErrorRow(500, _SERVER),
}

_ANTHROPIC_TYPES: Mapping[int, ErrorType] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
}
"""Of the statuses above; every other is `invalid_request_error`."""

_PERMANENT = frozenset(code for code, row in TABLE.items() if row.status == 409) | {  # noqa: PLR2004 - HTTP's own number
    ErrorCode.MEMORY_PRESSURE,
    ErrorCode.ENGINE_START_FAILED,
    ErrorCode.ENGINE_DIFFERS,
}
"""Where nothing says when to ask again, asking is of no use: these stay refused until the caller has read and changed
something. The openai client would repeat a 409 and a 503 twice."""


def as_gateway_error(exception: Exception) -> GatewayError:
    """Return what the client is told: our errors as they are, Litestar's translated, anything else a logged 500."""
    if isinstance(exception, GatewayError):
        return exception
    if isinstance(exception, HTTPException) and (refusal := _refusal(exception)):
        return refusal
    # The exception's own text is left out: it may quote what the client sent.
    _log.error("request_failed_unexpectedly", error_type=type(exception).__qualname__, frames=_frames(exception))
    return GatewayError("The gateway met an error of its own; its log says more.")


def encode_error(error: GatewayError) -> bytes:
    """Return `{"error": {"message", "type", "param", "code"}}` as JSON."""
    row = TABLE[error.code]
    kind = error.limited if isinstance(error, RateLimited) else row.type
    body = ErrorObject(message=error.message, type=kind, param=error.param, code=error.code)
    return _encoder.encode(ErrorBody(error=body))


def anthropic_status(status: int) -> int:
    """Return the status that Anthropic has for one of the table's."""
    return 529 if status == 503 else status  # noqa: PLR2004 - HTTP's own number


def encode_anthropic_error(error: GatewayError, request_id: str | msgspec.UnsetType = msgspec.UNSET) -> bytes:
    """Return `{"type": "error", "error": {"type", "message"}, "request_id"}` as JSON."""
    kind = _ANTHROPIC_TYPES.get(TABLE[error.code].status, "invalid_request_error")
    body = MessageErrorBody(error=MessageError(type=kind, message=error.message), request_id=request_id)
    return _encoder.encode(body)


def answer_error(request: Request[Any, Any, Any], exception: Exception) -> Response[bytes]:
    """Handle every exception of every route."""
    error = as_gateway_error(exception)
    status = TABLE[error.code].status
    record = record_of(request.scope)
    record.code = error.code
    headers = dict(exception.headers or {}) if isinstance(exception, HTTPException) else {}
    retry_after_s = error.retry_after_s if isinstance(error, UnavailableError) else None
    if retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
    elif error.code in _PERMANENT:
        headers["x-should-retry"] = "false"
    if error.code is ErrorCode.INVALID_API_KEY:
        headers["www-authenticate"] = "Bearer"
    if speaks_anthropic(request.scope):
        status, body = anthropic_status(status), encode_anthropic_error(error, record.request_id)
    else:
        body = encode_error(error)
    return Response(body, status_code=status, headers=headers, media_type=MediaType.JSON)


def answer_nobody(request: Request[Any, Any, Any], _: ClientDisconnected) -> Response[None]:
    """Handle a client that left: Litestar needs a response, which the server drops."""
    record_of(request.scope).disconnected = True
    return Response(None, status_code=500)


def _refusal(exception: HTTPException) -> GatewayError | None:
    """Return our error for a request that Litestar refuses, or None where the fault is not the client's."""
    match exception:
        case NotFoundException():
            offered = ", ".join(f"{method} {path}" for method, path in ACCESS if path.startswith(_OFFERED))
            return NotFound(f"There is no such route here; this gateway offers {offered}.")
        case MethodNotAllowedException():
            allowed = (exception.headers or {}).get("allow", "another one")
            return InvalidRequest(
                f"This route does not take that method; it takes {allowed}.", code=ErrorCode.METHOD_NOT_ALLOWED
            )
        case ClientException():
            return InvalidRequest(exception.detail)
        case _:
            return None


def _frames(exception: Exception) -> list[str]:
    """Return where the exception came from, innermost last."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(exception.__traceback__)]
