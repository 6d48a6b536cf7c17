"""What one key may still ask for: pure, so that the time is a parameter, of a clock that never goes back."""

import enum

import msgspec

from gateway.contracts.keys import KeyLimits

_MINUTE_S = 60.0
_FIRST_GUESS_S = 1.0
_NEWEST_WEIGHT = 0.2
"""Of the last answer's duration in the mean."""


class LimitKind(enum.StrEnum):
    CONCURRENCY = "concurrency"
    REQUESTS = "requests"
    TOKENS = "tokens"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    kind: LimitKind
    limit: int
    retry_after_s: float


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a rate is left, as the headers say it."""

    kind: LimitKind
    limit: int
    remaining: int
    reset_s: float
    """Until all of it is there again, if nothing is asked for meanwhile."""


class Bucket:
    """Holds what a minute allows, and fills by as much in each. It may owe: then it fills from below zero."""

    __slots__ = ("_level", "_updated_s", "per_min")

    def __init__(self, per_min: int, now_s: float) -> None:
        self.per_min = per_min
        self._level = float(per_min)
        self._updated_s = now_s

    def level(self, now_s: float) -> float:
        gained = (now_s - self._updated_s) * self.per_min / _MINUTE_S
        return min(float(self.per_min), self._level + gained)

    def take(self, amount: int, now_s: float) -> None:
        self._level = self.level(now_s) - amount
        self._updated_s = now_s

    def wait_s(self, level: float, now_s: float) -> float:
        """Return how long it takes until it holds that much."""
        return max(0.0, (level - self.level(now_s)) * _MINUTE_S / self.per_min)


class KeyLimiter:
    """The limits of one key and what has been taken of them."""

    def __init__(self, limits: KeyLimits, now_s: float) -> None:
        self._max_concurrent = limits.max_concurrent
        self._requests = Bucket(limits.requests_per_min, now_s) if limits.requests_per_min else None
        self._tokens = Bucket(limits.tokens_per_min, now_s) if limits.tokens_per_min else None
        self._running = 0
        self._mean_duration_s: float | None = None

    def admit(self, now_s: float) -> Refusal | None:
        """Count a request in, or say what is against it and how long that will last; a refusal takes nothing.

        How many tokens it takes is known at its end: it needs one that is left.
        """
        refusals: list[Refusal] = []
        if self._max_concurrent is not None and self._running >= self._max_concurrent:
            # On average one of the running ends in this time.
            wait_s = (self._mean_duration_s or _FIRST_GUESS_S) / self._max_concurrent
            refusals.append(Refusal(kind=LimitKind.CONCURRENCY, limit=self._max_concurrent, retry_after_s=wait_s))
        for kind, bucket in self._buckets():
            if (wait_s := bucket.wait_s(1.0, now_s)) > 0:
                refusals.append(Refusal(kind=kind, limit=bucket.per_min, retry_after_s=wait_s))
        if refusals:
            return max(refusals, key=lambda refusal: refusal.retry_after_s)
        self._running += 1
        if self._requests is not None:
            self._requests.take(1, now_s)
        return None

    def end(self, now_s: float, *, tokens: int, duration_s: float) -> None:
        """Count an admitted request out, with the tokens of its prompt and its answer."""
        self._running -= 1
        before_s = self._mean_duration_s
        self._mean_duration_s = duration_s if before_s is None else before_s + _NEWEST_WEIGHT * (duration_s - before_s)
        if self._tokens is not None:
            self._tokens.take(tokens, now_s)

    def standings(self, now_s: float) -> list[Standing]:
        """Return those of the rates that the key has."""
        return [
            Standing(
                kind=kind,
                limit=bucket.per_min,
                remaining=max(0, int(bucket.level(now_s))),
                reset_s=bucket.wait_s(bucket.per_min, now_s),
            )
            for kind, bucket in self._buckets()
        ]

    def _buckets(self) -> list[tuple[LimitKind, Bucket]]:
        buckets = ((LimitKind.REQUESTS, self._requests), (LimitKind.TOKENS, self._tokens))
        return [(kind, bucket) for kind, bucket in buckets if bucket is not None]
