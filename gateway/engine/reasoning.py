"""Part what a reasoning model thinks from what it says."""

from collections.abc import Iterable

import msgspec


class ThinkTags(msgspec.Struct, frozen=True, kw_only=True):
    """How a model marks its reasoning in its text."""

    start: str
    end: str
    ignored: tuple[str, ...] = ()
    """Marks around the answer itself, which are no part of it."""


class ReasoningSplitter:
    """Passes a text through piece by piece, as (reasoning, content); tags and the white space around them are left out.

    A piece that may yet become a tag is held back, so the result does not depend on how the text is cut.
    """

    def __init__(self, tags: ThinkTags, *, inside: bool) -> None:
        """`inside` says that the prompt ends in an open tag."""
        self.inside = inside
        self._tags = tags
        self._held = ""
        self._after_tag = inside

    def feed(self, text: str) -> tuple[str, str]:
        reasoning, content = "", ""
        pending = self._held + text
        while True:
            marks = (self._tags.end,) if self.inside else (self._tags.start, *self._tags.ignored)
            before, mark, pending = split_at_first(pending, marks)
            shown = self._trim(before)
            if self.inside:
                reasoning += shown.rstrip() if mark else shown
            else:
                content += shown
            if mark is None:
                self._held = pending
                return reasoning, content
            self._after_tag = True
            if mark not in self._tags.ignored:
                self.inside = not self.inside

    def flush(self) -> tuple[str, str]:
        """Return what was held back: the text has ended."""
        text, self._held = self._trim(self._held), ""
        return (text.rstrip(), "") if self.inside else ("", text)

    def _trim(self, text: str) -> str:
        """Drop the white space that follows a tag."""
        if not self._after_tag:
            return text
        text = text.lstrip()
        self._after_tag = not text
        return text


def split_at_first(text: str, marks: Iterable[str]) -> tuple[str, str | None, str]:
    """Return what stands before the first mark, the mark, and the rest.

    Without one, the mark is None and the rest is what must be held back: the longest end that may begin a mark, and the
    white space before it.
    """
    found = [(start, mark) for mark in marks if (start := text.find(mark)) >= 0]
    if found:
        start, mark = min(found)
        return text[:start], mark, text[start + len(mark) :]
    cut = len(text) - max((_begun_length(text, mark) for mark in marks), default=0)
    cut = len(text[:cut].rstrip())
    return text[:cut], None, text[cut:]


def _begun_length(text: str, mark: str) -> int:
    """Return the length of the longest end of the text that is a beginning of the mark."""
    longest = min(len(mark) - 1, len(text))
    return next((length for length in range(longest, 0, -1) if mark.startswith(text[-length:])), 0)
