"""One request's answer as it grows: detokenised, parted into reasoning, text and calls, stopped, counted."""

from collections.abc import Sequence

from gateway.contracts.chat import FinishReason
from gateway.contracts.tools import ToolCall
from gateway.engine.grammar import Constraint
from gateway.engine.logprobs import LogprobLedger
from gateway.engine.reasoning import ReasoningSplitter
from gateway.engine.runner import RowToken
from gateway.engine.stop_strings import StopMatcher
from gateway.engine.tokenizer import Detokenizer
from gateway.engine.tool_calls import CallScanner
from gateway.wire import TokenDelta


class Reply:
    def __init__(
        self,
        request_id: str,
        detokenizer: Detokenizer,
        stops: Sequence[str],
        *,
        splitter: ReasoningSplitter | None = None,
        scanner: CallScanner | None = None,
        ledger: LogprobLedger | None = None,
        constraint: Constraint | None = None,
        has_form: bool = False,
    ) -> None:
        """Stop strings are looked for in the text alone, neither in reasoning nor in calls.

        `has_form` says that the text is a document: a stop string cuts it as a limit does.
        """
        self.request_id = request_id
        self.completion_tokens = 0
        """Generated so far, the end-of-sequence token counted."""
        self.reasoning_tokens = 0
        """Of those, the ones that were spent on reasoning, its tags included."""
        self.finish_reason: FinishReason | None = None
        self._detokenizer = detokenizer
        self._stops = StopMatcher(stops)
        self._splitter = splitter
        self._scanner = scanner
        self._ledger = ledger
        self._constraint = constraint
        self._has_form = has_form

    @property
    def fault(self) -> str:
        """Why an answer that has ended is none: its grammar was not followed to its end. Empty where it is one."""
        return self._constraint.fault if self._constraint else ""

    def add(self, token: RowToken) -> TokenDelta:
        """Return what this token lets out, maybe nothing, and set `finish_reason` where it is the last."""
        self.completion_tokens += 1
        reasoning, content = self._split(self._characters(token), ended=token.finish_reason is not None)
        text, calls = self._scan(content, token.finish_reason)
        if self._ledger:
            self._ledger.add(token, text, is_text=not calls and not (self._splitter and self._splitter.inside))
        shown = self._stops.feed(text)
        if self._stops.matched is not None:
            self.finish_reason = FinishReason.LENGTH if self._has_form else FinishReason.STOP
        elif token.finish_reason or (self._scanner and self._scanner.done):
            shown += self._stops.flush()
            self.finish_reason = token.finish_reason or FinishReason.STOP
        if self.finish_reason is FinishReason.STOP and self._scanner and self._scanner.call_count:
            self.finish_reason = FinishReason.TOOL_CALLS
        ended = self.finish_reason is not None and self._stops.matched is None
        logprobs = self._ledger.release(shown, ended=ended) if self._ledger else ()
        return TokenDelta(
            request_id=self.request_id,
            text=shown,
            completion_tokens=self.completion_tokens,
            finish_reason=self.finish_reason,
            reasoning=reasoning,
            reasoning_tokens=self.reasoning_tokens,
            tool_calls=calls,
            logprobs=logprobs,
            cached_tokens=token.cached_tokens,
            stop_string=self._stops.matched,
        )

    def _characters(self, token: RowToken) -> str:
        text = ""
        if token.finish_reason is not FinishReason.STOP:
            verbatim = self._scanner is not None and self._scanner.inside
            text = self._detokenizer.add(token.token, verbatim=verbatim)
        return text + self._detokenizer.finish() if token.finish_reason else text

    def _split(self, text: str, *, ended: bool) -> tuple[str, str]:
        """Return the reasoning and the content."""
        if self._splitter is None:
            return "", text
        if self._scanner and self._scanner.inside and not self._splitter.inside:
            # The arguments of a call may speak of the tags.
            return "", self._splitter.flush()[1] + text
        was_inside = self._splitter.inside
        reasoning, content = self._splitter.feed(text)
        self.reasoning_tokens += was_inside or self._splitter.inside
        if ended:
            more_reasoning, more_content = self._splitter.flush()
            return reasoning + more_reasoning, content + more_content
        return reasoning, content

    def _scan(self, content: str, finish_reason: FinishReason | None) -> tuple[str, tuple[ToolCall, ...]]:
        """Return the content's text and the calls in it."""
        if self._scanner is None:
            return content, ()
        text, calls = self._scanner.feed(content)
        if finish_reason:
            more_text, more_calls = self._scanner.finish(cut=finish_reason is FinishReason.LENGTH)
            return text + more_text, calls + more_calls
        return text, calls
