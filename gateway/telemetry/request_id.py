"""By which request something is done: the id that joins its own log line with those of what it brought about."""

from contextvars import ContextVar

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def enter_request(request_id: str) -> None:
    """Note whose work this task does, and every task that it starts."""
    _request_id.set(request_id)


def of_request() -> dict[str, str]:
    """Return the field that a log line has where a request brought its event about; nothing elsewhere.

    To be asked for in the moment of the cause: a task that a request has started, as an engine's supervisor is, lives
    on without it.
    """
    request_id = _request_id.get()
    return {} if request_id is None else {"request_id": request_id}
