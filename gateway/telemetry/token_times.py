"""The times of one answer's tokens, from which two histograms are fed."""

import time
from typing import Protocol


class Observes(Protocol):
    """A series of a histogram."""

    def observe(self, value: float, /) -> None: ...


class TokenTimes:
    """Told of each message of an engine for the answer. It is short, because every token of every stream pays it."""

    __slots__ = ("_first_s", "_first_tokens", "_gaps", "_last_s", "_per_token", "_tokens")

    def __init__(self, gaps: Observes, per_token: Observes) -> None:
        self._gaps = gaps
        self._per_token = per_token
        self.restart()

    def restart(self) -> None:
        """Forget what was told: the answer begins, maybe anew on another process."""
        self._first_s = self._last_s = 0.0
        self._first_tokens = self._tokens = 0

    def came(self, tokens: int) -> None:
        """Note that the answer is of so many tokens now; a message may bring text without a token."""
        if tokens <= self._tokens:
            return
        now_s = time.perf_counter()
        if self._tokens:
            self._gaps.observe(now_s - self._last_s)
        else:
            self._first_s, self._first_tokens = now_s, tokens
        self._last_s, self._tokens = now_s, tokens

    def ended(self) -> None:
        """Note that the answer is whole; one whose tokens came all at once says nothing of the time between them."""
        if self._tokens > self._first_tokens:
            self._per_token.observe((self._last_s - self._first_s) / (self._tokens - self._first_tokens))
