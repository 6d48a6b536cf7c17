"""Every error has a status and OpenAI's shape."""

import json

import pytest
from litestar.exceptions import HTTPException, InternalServerException, PermissionDeniedException
from structlog.testing import capture_logs

from gateway.api.errors import TABLE, anthropic_status, as_gateway_error, encode_anthropic_error, encode_error
from gateway.contracts.error_codes import ErrorCode
from gateway.errors import GatewayError, InvalidRequest, MemoryPressure


def test_each_code_has_a_row() -> None:
    assert set(TABLE) == set(ErrorCode)


def test_statuses_are_error_statuses_and_types_follow_them() -> None:
    for row in TABLE.values():
        assert 400 <= row.status < 600
        assert (row.type == "server_error") == (row.status >= 500)


@pytest.mark.parametrize("code", [ErrorCode.MEMORY_PRESSURE, ErrorCode.QUEUE_FULL, ErrorCode.NOT_READY])
def test_what_may_succeed_later_is_retried_by_clients(code: ErrorCode) -> None:
    assert TABLE[code].status in {429, 503}


def test_only_the_window_is_called_context_length() -> None:
    assert TABLE[ErrorCode.CONTEXT_LENGTH_EXCEEDED].status == 400
    assert MemoryPressure("It does not fit.").code is ErrorCode.MEMORY_PRESSURE


def test_an_error_has_the_four_fields_of_openai() -> None:
    error = InvalidRequest("`n` must be 1.", param="n")
    assert json.loads(encode_error(error)) == {
        "error": {"message": "`n` must be 1.", "type": "invalid_request_error", "param": "n", "code": "invalid_value"}
    }


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (ErrorCode.INVALID_VALUE, 400, "invalid_request_error"),
        (ErrorCode.INVALID_API_KEY, 401, "authentication_error"),
        (ErrorCode.PERMISSION_DENIED, 403, "permission_error"),
        (ErrorCode.MODEL_NOT_FOUND, 404, "not_found_error"),
        (ErrorCode.METHOD_NOT_ALLOWED, 405, "invalid_request_error"),
        (ErrorCode.VARIANT_ARCHIVED, 409, "invalid_request_error"),
        (ErrorCode.REQUEST_TOO_LARGE, 413, "request_too_large"),
        (ErrorCode.QUEUE_FULL, 429, "rate_limit_error"),
        (ErrorCode.ENGINE_CRASHED, 500, "api_error"),
        (ErrorCode.NOT_READY, 529, "overloaded_error"),
    ],
)
def test_an_error_for_anthropics_clients_has_their_status_and_type(code: ErrorCode, status: int, kind: str) -> None:
    assert anthropic_status(TABLE[code].status) == status
    assert json.loads(encode_anthropic_error(GatewayError("No.", code=code), "r")) == {
        "type": "error",
        "error": {"type": kind, "message": "No."},
        "request_id": "r",
    }
    assert "request_id" not in json.loads(encode_anthropic_error(GatewayError("No.", code=code)))


def test_an_error_without_a_field_says_null() -> None:
    assert json.loads(encode_error(GatewayError("Broken.")))["error"]["param"] is None


def test_an_error_of_ours_is_told_as_it_is() -> None:
    error = InvalidRequest("No.")
    assert as_gateway_error(error) is error


def test_litestars_refusals_are_the_clients_errors() -> None:
    assert as_gateway_error(PermissionDeniedException(detail="No.")).code is ErrorCode.INVALID_VALUE


@pytest.mark.parametrize("exception", [ValueError("secret prompt"), InternalServerException(detail="secret prompt")])
def test_an_unexpected_exception_is_logged_by_type_and_told_to_nobody(exception: Exception) -> None:
    with capture_logs() as logs:
        error = as_gateway_error(exception)
    assert error.code is ErrorCode.INTERNAL_ERROR
    assert "secret" not in error.message
    assert logs[0]["event"] == "request_failed_unexpectedly"
    assert logs[0]["error_type"] == type(exception).__qualname__
    assert "secret" not in str(logs)


def test_a_server_error_of_litestars_is_unexpected() -> None:
    with capture_logs() as logs:
        as_gateway_error(HTTPException(status_code=500))
    assert len(logs) == 1
