"""Every error that the gateway tells somebody about.

    GatewayError                a code, a message that names the remedy, the field at fault
    +-- RequestError            the request is wrong, and stays wrong
    |   +-- InvalidRequest      malformed, of a wrong type, out of range, over a limit
    |   +-- Unauthorized        no key, or one that is not known
    |   +-- Forbidden           a known key whose role does not suffice
    |   +-- NotFound            no such route, model, variant, deployment, evaluation
    +-- UnavailableError        the same request may succeed later; carries `retry_after_s`
    |   +-- QueueFull
    |   +-- RateLimited         over a limit of the caller's key
    |   +-- NotReady            starting, restarting, shutting down
    |   +-- MemoryPressure      it does not fit beside what is loaded
    |   +-- SwapAbandoned       the old engine's answers did not end in time, or its memory did not come back
    |   +-- CutBySwap           the answer's engine had to make room for another
    +-- EngineError             the engine failed while it held the request
    |   +-- EngineCrashed
    |   +-- EngineStartFailed
    |   +-- EngineDiffers       what it has loaded is not what it was told to load
    |   +-- EngineFault         the engine lives; this request met an error inside it
    +-- GateError               the registry or the gate says no
    |   +-- RevisionConflict
    |   +-- PromotionRefused
    |   +-- EvaluationInvalid
    +-- StartError              the process cannot start: a setting, the state directory, the port, the model
        |                       (printed in one line by the command line, never sent)
        +-- AddressMissing      the address is not this machine's, or not yet: the network comes after the login

HTTP statuses are not here: one table in `gateway/api/errors.py` gives each code its status.
"""

from gateway.contracts.error_codes import ErrorCode


class GatewayError(Exception):
    """Base of all. `param` names the request's field at fault, where one is."""

    default_code = ErrorCode.INTERNAL_ERROR

    def __init__(self, message: str, *, code: ErrorCode | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param


class RequestError(GatewayError):
    default_code = ErrorCode.INVALID_VALUE


class InvalidRequest(RequestError):
    default_code = ErrorCode.INVALID_VALUE


class Unauthorized(RequestError):
    default_code = ErrorCode.INVALID_API_KEY


class Forbidden(RequestError):
    default_code = ErrorCode.PERMISSION_DENIED


class NotFound(RequestError):
    default_code = ErrorCode.NOT_FOUND


class UnavailableError(GatewayError):
    """`retry_after_s` is an honest estimate, sent as `Retry-After`; None where this machine will never do it."""

    default_code = ErrorCode.NOT_READY

    def __init__(self, message: str, *, code: ErrorCode | None = None, retry_after_s: float | None = 1.0) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class QueueFull(UnavailableError):
    default_code = ErrorCode.QUEUE_FULL


class RateLimited(UnavailableError):
    """`limited` is `requests` or `tokens`, which OpenAI says in the error's `type`."""

    default_code = ErrorCode.RATE_LIMIT_EXCEEDED

    def __init__(self, message: str, *, limited: str, retry_after_s: float) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.limited = limited


class NotReady(UnavailableError):
    default_code = ErrorCode.NOT_READY


class MemoryPressure(UnavailableError):
    default_code = ErrorCode.MEMORY_PRESSURE


class SwapAbandoned(UnavailableError):
    default_code = ErrorCode.SWAP_ABANDONED


class CutBySwap(UnavailableError):
    default_code = ErrorCode.CUT_BY_SWAP


class EngineError(GatewayError):
    default_code = ErrorCode.ENGINE_CRASHED


class EngineCrashed(EngineError):
    default_code = ErrorCode.ENGINE_CRASHED


class EngineStartFailed(EngineError):
    default_code = ErrorCode.ENGINE_START_FAILED


class EngineDiffers(EngineError):
    default_code = ErrorCode.ENGINE_DIFFERS


class EngineFault(EngineError):
    default_code = ErrorCode.ENGINE_FAULT


class GateError(GatewayError):
    default_code = ErrorCode.PROMOTION_REFUSED


class RevisionConflict(GateError):
    default_code = ErrorCode.REVISION_CONFLICT


class PromotionRefused(GateError):
    default_code = ErrorCode.PROMOTION_REFUSED


class EvaluationInvalid(GateError):
    default_code = ErrorCode.EVALUATION_INVALID


class StartError(GatewayError):
    default_code = ErrorCode.INTERNAL_ERROR


class AddressMissing(StartError):
    pass
