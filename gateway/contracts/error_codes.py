"""The codes in the `code` field of an error body. A client may act on them; the message is for people."""

import enum


class ErrorCode(enum.StrEnum):
    # The request is wrong, and stays wrong.
    INVALID_JSON = "invalid_json"
    INVALID_TYPE = "invalid_type"
    INVALID_VALUE = "invalid_value"
    MISSING_PARAMETER = "missing_required_parameter"
    UNKNOWN_PARAMETER = "unknown_parameter"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    REQUEST_TOO_LARGE = "request_too_large"
    INVALID_API_KEY = "invalid_api_key"
    PERMISSION_DENIED = "permission_denied"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    MODEL_NOT_FOUND = "model_not_found"
    VARIANT_NOT_FOUND = "variant_not_found"
    REQUEST_CRASHES_ENGINE = "request_crashes_engine"
    PREVIOUS_RESPONSE_NOT_FOUND = "previous_response_not_found"
    # The model's files are not what they should be.
    MODEL_UNREADABLE = "model_unreadable"
    # The request may succeed later.
    QUEUE_FULL = "queue_full"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    NOT_READY = "not_ready"
    SHUTTING_DOWN = "shutting_down"
    MEMORY_PRESSURE = "memory_pressure"
    SWAP_ABANDONED = "swap_abandoned"
    CUT_BY_SWAP = "cut_by_swap"
    ENGINE_CRASHED = "engine_crashed"
    ENGINE_START_FAILED = "engine_start_failed"
    ENGINE_FAILING = "engine_failing"
    ENGINE_DIFFERS = "engine_differs"
    # The engine lives; this one request met an error inside it.
    ENGINE_FAULT = "engine_fault"
    # The gate.
    REVISION_CONFLICT = "revision_conflict"
    PROMOTION_REFUSED = "promotion_refused"
    EVALUATION_EXISTS = "evaluation_exists"
    EVALUATION_INVALID = "evaluation_invalid"
    NOTHING_TO_ROLL_BACK = "nothing_to_roll_back"
    # The archive.
    VARIANT_IN_USE = "variant_in_use"
    VARIANT_ARCHIVED = "variant_archived"
    # Keys.
    KEY_EXISTS = "key_exists"
    KEY_NOT_FOUND = "key_not_found"
    KEY_PROTECTED = "key_protected"
    # Ours.
    INTERNAL_ERROR = "internal_error"
