"""How many prompt tokens one step works on, so that running streams keep their pace. Pure: durations come from outside.

While streams decode, a chunk is to take two fifths of the time that a decode step takes. What a token costs depends on
the machine, the model, the context and the chunk's own size, so nothing is predicted: each chunk's duration sets the
size of the next. Nobody's pace is at stake while none decodes.
"""

_SHARE_OF_DECODE_RATIO = 0.4
_SMOOTHING_RATIO = 0.5
"""Weight of the newest step."""
_FLOOR_TOKENS = 16
"""A chunk reads the weights once, however small it is: below this it hardly takes less time."""
_MOST_GROWTH_RATIO = 1.5
_MOST_SHRINKING_RATIO = 0.5
"""Of one chunk's size over the last one's: a single duration may be an accident."""
_EASY_RATIO = 2 / 3
"""A chunk that took no more of what it was allowed may be twice as large the next time."""
_FEW_PROMPTS = 8
"""Each that waits beyond these adds its part to the chunk: a crowd waits for every step that is not its own."""


class PrefillPace:
    def __init__(self, full_tokens: int) -> None:
        """`full_tokens` is the budget of a step while no stream decodes, and the most that a step ever gets."""
        self._full_tokens = full_tokens
        self._floor_tokens = min(_FLOOR_TOKENS, full_tokens)
        self._beside_tokens = float(self._floor_tokens)
        """The next budget beside streams."""
        self._wanted_tokens = self._beside_tokens
        """What the last chunk alone would have made of it."""
        self._decode_s: float | None = None
        """Running mean of steps, their chunks not counted."""

    def budget_tokens(self, *, streams: int, prompts: int = 1) -> int:
        """Return the prompt tokens that the next step may work on.

        Where more prompts wait than streams decode, it is more by as much: the few give way to the many. Where a crowd
        waits it is more too: a prompt costs the streams the same in one piece or in many, and those that wait behind
        it a step for each piece.
        """
        if not streams:
            return self._full_tokens
        larger_ratio = max(1.0, prompts / streams, prompts - _FEW_PROMPTS)
        return min(int(self._beside_tokens * larger_ratio), self._full_tokens)

    def observe(self, *, duration_s: float, streams: int, prefill_tokens: int = 0, chunk_s: float = 0.0) -> None:
        """Learn from one step: how long it took, the streams in it, its chunk's tokens and how long that took."""
        if not streams:
            return
        decode_s = duration_s - chunk_s
        before_s = decode_s if self._decode_s is None else self._decode_s
        if prefill_tokens:
            # By the steps before: where a prompt ends, its row's join is in this one too.
            self._adapt(chunk_s, prefill_tokens, _SHARE_OF_DECODE_RATIO * before_s)
        # Clipped, so that an accident does not let chunks grow.
        self._decode_s = before_s + _SMOOTHING_RATIO * (min(decode_s, 2 * before_s) - before_s)

    def _adapt(self, chunk_s: float, tokens: int, allowed_s: float) -> None:
        """Size the next chunk after one that took so long and was allowed so much."""
        most, least = _MOST_GROWTH_RATIO * self._beside_tokens, _MOST_SHRINKING_RATIO * self._beside_tokens
        wanted = most if chunk_s <= 0 else tokens * allowed_s / chunk_s
        if chunk_s <= _EASY_RATIO * allowed_s:
            # Most of it may be what any chunk costs, as the join of a row: twice as many tokens take less than twice.
            wanted = max(wanted, 2.0 * tokens)
        if wanted < self._beside_tokens and tokens < int(self._beside_tokens) and chunk_s <= allowed_s:
            return  # The short end of a prompt costs more a token than a whole chunk does.
        wanted = min(max(wanted, least, self._floor_tokens), most, self._full_tokens)
        # It grows where two chunks agree: one that was quick by accident would make the next the longest of all.
        self._beside_tokens = min(wanted, max(self._beside_tokens, self._wanted_tokens))
        self._wanted_tokens = wanted
