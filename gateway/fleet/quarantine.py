"""Which requests to run alone, and which not at all, because the engine crashed under them. Pure.

Whatever was at work when an engine crashed is suspect, for one of it may be the cause. A suspect that comes again is
run alone. One that ends is suspect no more; one under which the engine crashes again, and which was the only one there,
is blocked. A request is known by the digest of its content, and no more of it is kept.
"""

import enum
import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field

import msgspec

from gateway.wire import Request

_CAPACITY = 1024
"""Contents remembered; the longest known are forgotten first."""

_encoder = msgspec.msgpack.Encoder()


class Standing(enum.Enum):
    CLEAR = "clear"
    SUSPECT = "suspect"
    BLOCKED = "blocked"


def content_of(request: Request) -> str:
    """Return the digest of all that a request says but its id."""
    anonymous = msgspec.structs.replace(request, request_id="")
    return hashlib.blake2b(_encoder.encode(anonymous), digest_size=16).hexdigest()


def encoded_bytes(request: Request) -> int:
    """Return how large a request is: no prompt has more tokens of it than it has bytes."""
    return len(_encoder.encode(request))


@dataclass(kw_only=True)
class Quarantine:
    """Of one engine: what crashes it may be nothing to another."""

    kept_s: float
    """After so long without another crash a content is forgotten, blocked or not."""
    _known: dict[str, tuple[Standing, float]] = field(default_factory=dict[str, tuple[Standing, float]])
    """Standing and time of the last crash, by content; in the order of that time."""

    @property
    def empty(self) -> bool:
        """Whether nobody is known, so that no digest need be computed."""
        return not self._known

    def standing(self, content: str, *, now_s: float) -> Standing:
        standing, since_s = self._known.get(content, (Standing.CLEAR, now_s))
        return standing if now_s - since_s < self.kept_s else Standing.CLEAR

    def crashed(self, contents: Collection[str], *, now_s: float) -> None:
        """Note what was at work when the engine crashed."""
        before = {content: self.standing(content, now_s=now_s) for content in contents}
        alone = len(before) == 1
        for content, standing in before.items():
            proven = alone and standing is not Standing.CLEAR
            self._known.pop(content, None)
            worst = Standing.BLOCKED if proven or standing is Standing.BLOCKED else Standing.SUSPECT
            self._known[content] = (worst, now_s)
        self._forget(now_s)

    def survived(self, content: str) -> None:
        """Note that the engine came through a request: it is suspect no more."""
        self._known.pop(content, None)

    def _forget(self, now_s: float) -> None:
        for content, (_, since_s) in list(self._known.items()):
            if len(self._known) <= _CAPACITY and now_s - since_s < self.kept_s:
                return
            del self._known[content]
