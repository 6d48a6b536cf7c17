"""Find the calls in a model's text as it grows."""

from gateway.contracts.tools import ToolCall
from gateway.engine.reasoning import split_at_first
from gateway.engine.tool_syntax import ToolSyntax, read_calls
from gateway.wire import ToolUse


class CallScanner:
    """Passes a text through piece by piece, without the calls, which it gives out whole.

    From where a call begins nothing is shown until it has ended and was read, or turned out to be no call: then it is
    text as it stands. White space around calls is no part of the text.
    """

    def __init__(self, syntax: ToolSyntax, use: ToolUse, *, held: bool = False, first_only: bool = False) -> None:
        """`held` says that a grammar holds the calls: what is none yet has the mark of its end in an argument.

        `first_only` says that an answer that does not begin with a call has none.
        """
        self._syntax = syntax
        self._use = use
        self._held = held
        self._first_only = first_only
        self._pending = ""
        self._searched = 0
        """Characters of a call in which no end is to be looked for any more."""
        self.inside = False
        """Whether what comes next is part of a call."""
        self.call_count = 0
        self._shown = False

    @property
    def done(self) -> bool:
        """Whether the answer ends here: only one call was allowed, and it was made."""
        return self.call_count > 0 and not self._use.parallel

    def feed(self, text: str) -> tuple[str, tuple[ToolCall, ...]]:
        """Return the text that may be shown, and the calls that are complete."""
        shown = ""
        calls: list[ToolCall] = []
        self._pending += text
        while not self.done:
            if not self.inside:
                before, mark, self._pending = split_at_first(self._pending, (self._syntax.start,))
                if self._first_only and (self._shown or before.strip()):
                    shown += self._lead(before + (mark or "") + self._pending)
                    self._pending = ""
                    break
                shown += self._lead(before.rstrip() if mark else before)
                if mark is None:
                    break
                self.inside = True
            if not self._syntax.end or (end := self._pending.find(self._syntax.end, self._searched)) < 0:
                break
            body, rest = self._pending[:end], self._pending[end + len(self._syntax.end) :]
            found = self._read(body)
            if not found and self._held:
                self._searched = end + 1
                continue
            self.inside, self._pending, self._searched = False, rest, 0
            if found:
                calls.extend(found)
            else:
                shown += self._lead(self._syntax.start + body + self._syntax.end)
        return shown, tuple(calls)

    def finish(self, *, cut: bool) -> tuple[str, tuple[ToolCall, ...]]:
        """Return what is left: the text has ended, or was cut off, and then a call that has begun is lost."""
        pending, self._pending = self._pending, ""
        if self.done or (cut and self.inside):
            return "", ()
        if not self.inside:
            return self._lead(pending if pending.strip() or not self.call_count else ""), ()
        self.inside = False
        if found := self._read(pending):
            return "", found
        return self._lead(self._syntax.start + pending), ()

    def _read(self, body: str) -> tuple[ToolCall, ...]:
        calls = read_calls(self._syntax, body, self._use.tools) or ()
        if not self._use.parallel:
            calls = calls[:1]
        self.call_count += len(calls)
        return calls

    def _lead(self, text: str) -> str:
        """Drop the white space between a call and the first text."""
        if self.call_count and not self._shown:
            text = text.lstrip()
        self._shown = self._shown or bool(text)
        return text
