"""Stop strings, matched on text: how a word is cut into tokens must not decide whether it stops."""

from collections.abc import Sequence


class StopMatcher:
    """Passes a text through piece by piece, up to the first stop string, which it never lets out.

    The first stop string is the one that is complete first; of those that end together, the one that starts first.
    So the result does not depend on how the text is cut into pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """`stops` are not empty strings; an empty sequence passes everything."""
        self._stops = tuple(stops)
        self._longest = max((len(stop) for stop in self._stops), default=0)
        self._held = ""
        self.matched: str | None = None
        """The stop string that has come."""

    def feed(self, text: str) -> str:
        """Take the next piece and return what may be shown: all but the longest end that may begin a stop string."""
        pending = self._held + text
        if (match := self._first_match(pending)) is not None:
            cut, self.matched = match
            self._held = ""
            return pending[:cut]
        held = self._held_length(pending)
        self._held = pending[len(pending) - held :]
        return pending[: len(pending) - held]

    def flush(self) -> str:
        """Return what was held back: the text has ended and no stop string came of it."""
        text, self._held = self._held, ""
        return text

    def _first_match(self, text: str) -> tuple[int, str] | None:
        """Return where the first complete stop string starts, and which it is."""
        matches = [(start + len(stop), start, stop) for stop in self._stops if (start := text.find(stop)) >= 0]
        return min(matches)[1:] if matches else None

    def _held_length(self, text: str) -> int:
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
