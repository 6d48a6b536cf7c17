"""The prefix cache of the scripted engine: it holds nothing, and says what a real one would have found."""

from collections import deque

from gateway.contracts.admin import PrefixCacheCounts
from gateway.engine.prefix_tree import SHORTEST_TOKENS, common_length

_REMEMBERED_ROWS = 32


class ScriptedPrefixes:
    def __init__(self) -> None:
        self._rows: deque[tuple[int, ...]] = deque(maxlen=_REMEMBERED_ROWS)
        self._hits = self._misses = self._hit_tokens = 0

    def fetch(self, prompt: tuple[int, ...]) -> int:
        """Return how many of the prompt's first tokens an earlier row began with."""
        length = max((common_length(prompt[:-1], tokens) for tokens in self._rows), default=0)
        if length < SHORTEST_TOKENS:
            self._misses += 1
            return 0
        self._hits += 1
        self._hit_tokens += length
        return length

    def keep(self, tokens: tuple[int, ...]) -> None:
        self._rows.append(tokens)

    def counts(self) -> PrefixCacheCounts:
        return PrefixCacheCounts(hits=self._hits, misses=self._misses, hit_tokens=self._hit_tokens)
