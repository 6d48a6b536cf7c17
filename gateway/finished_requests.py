"""What became of the last requests, for a person who holds the id of one: facts, never texts, and never on disk."""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain, takewhile

import msgspec

from gateway.contracts.chat import FinishReason
from gateway.contracts.evaluations import Role

_FIRST_ERROR = 400
"""Of HTTP's statuses."""
_KEPT = 1000
"""Of either kind."""


class FinishedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The canonical facts of one request, as its line in the log has them."""

    request_id: str
    finished_at_s: float
    """Unix time."""
    method: str
    path: str
    """Of the route, its parameters as names."""
    status: int
    code: str | None
    """Of what went wrong, where something did."""
    duration_s: float
    # Of a request that an engine was to answer, as far as it came.
    completion_id: str | None
    model: str | None
    variant: str | None
    role: Role | None
    stream: bool | None
    prompt_tokens: int | None
    completion_tokens: int | None
    finish_reason: FinishReason | None
    time_to_first_token_s: float | None

    @property
    def finished_at(self) -> datetime:
        return datetime.fromtimestamp(self.finished_at_s, UTC)

    @property
    def failed(self) -> bool:
        """Also of a stream that broke off, whose status was sent before that."""
        return self.code is not None or self.status >= _FIRST_ERROR


class FinishedRequests:
    """Keeps the last that were routed to a variant, and apart from them the last that were refused before that.

    Whoever tries keys or paths pushes none of the first kind out. What else succeeded, and nobody asks for by its id,
    such as a console's page, is not kept.
    """

    def __init__(self, *, kept: int = _KEPT) -> None:
        self._routed: deque[FinishedRequest] = deque(maxlen=kept)
        self._refused: deque[FinishedRequest] = deque(maxlen=kept)

    def add(self, request: FinishedRequest) -> None:
        if request.variant is not None:
            self._routed.append(request)
        elif request.failed:
            self._refused.append(request)

    def ended_since(self, at_s: float) -> Iterator[FinishedRequest]:
        """Yield those that were routed and ended after that Unix time, the latest first."""
        return takewhile(lambda request: request.finished_at_s > at_s, reversed(self._routed))

    def find(self, part: str = "", *, failed_only: bool = False) -> Iterator[FinishedRequest]:
        """Yield those whose request or completion id has that part, the latest first."""
        kept = sorted(chain(self._routed, self._refused), key=lambda request: request.finished_at_s, reverse=True)
        for request in kept:
            if failed_only and not request.failed:
                continue
            if part in request.request_id or part in (request.completion_id or ""):
                yield request
