"""How many prompt tokens one step works on, so that running streams keep their pace. Pure: durations come from outside.

A chunk of n tokens takes `fixed + slope * n` seconds: it reads the weights once, whatever n is. While streams decode, a
chunk may take half of what a decode step takes, or up to all of it where twice the fixed part is more than half: a
smaller chunk would then delay the prompt more than it spares the streams. Nobody's pace is at stake while none decodes.
"""

_SMOOTHING_RATIO = 0.2
"""Weight of the newest observation."""
_SHARE_OF_DECODE_RATIO = 0.5
_FLOOR_TOKENS = 16


class _Mean:
    """An exponential moving mean; the first value counts in full."""

    def __init__(self) -> None:
        self.value: float | None = None

    def add(self, value: float) -> None:
        self.value = value if self.value is None else self.value + _SMOOTHING_RATIO * (value - self.value)


class PrefillPace:
    def __init__(self, full_tokens: int) -> None:
        """`full_tokens` is the budget of a step while no stream decodes, and the most that a step ever gets."""
        self._full_tokens = full_tokens
        self._decode_s = _Mean()
        self._small_tokens, self._small_s = _Mean(), _Mean()
        self._full_chunk_tokens, self._full_s = _Mean(), _Mean()

    def observe(self, *, duration_s: float, streams: int, prefill_tokens: int) -> None:
        """Learn from one step: how long it took, the rows that decoded in it, the prompt tokens that it worked on."""
        if not prefill_tokens:
            if streams:
                self._decode_s.add(duration_s)
        elif not streams:
            self._full_chunk_tokens.add(prefill_tokens)
            self._full_s.add(duration_s)
        elif self._decode_s.value is not None and duration_s > self._decode_s.value:
            self._small_tokens.add(prefill_tokens)
            self._small_s.add(duration_s - self._decode_s.value)

    def budget_tokens(self, *, streams: int) -> int:
        """Return the prompt tokens that the next step may work on."""
        if not streams:
            return self._full_tokens
        cost = self._cost()
        if cost is None or self._decode_s.value is None:
            return min(_FLOOR_TOKENS, self._full_tokens)
        fixed_s, slope_s = cost
        # Never beyond the decode step: what a longer context costs shows as fixed, and must not feed itself.
        allowed_s = max(_SHARE_OF_DECODE_RATIO * self._decode_s.value, min(2 * fixed_s, self._decode_s.value))
        tokens = int((allowed_s - fixed_s) / slope_s)
        return min(max(tokens, _FLOOR_TOKENS), self._full_tokens)

    def _cost(self) -> tuple[float, float] | None:
        """Return (fixed, slope) in seconds: the line through small and full chunks, or one through the origin."""
        points = [
            (tokens.value, duration_s.value)
            for tokens, duration_s in (
                (self._small_tokens, self._small_s),
                (self._full_chunk_tokens, self._full_s),
            )
            if tokens.value is not None and duration_s.value is not None
        ]
        if len(points) == 2:  # noqa: PLR2004 - a line takes two
            (small_tokens, small_s), (full_tokens, full_s) = points
            if full_tokens > 2 * small_tokens and full_s > small_s:
                slope_s = (full_s - small_s) / (full_tokens - small_tokens)
                fixed_s = small_s - slope_s * small_tokens
                if fixed_s >= 0:
                    return fixed_s, slope_s
        if not points:
            return None
        tokens, duration_s = points[0]
        return 0.0, duration_s / tokens
