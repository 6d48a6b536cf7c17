"""The text of one request as it grows: detokenised, stop strings applied, tokens counted."""

from collections.abc import Sequence

from gateway.contracts.chat import FinishReason
from gateway.engine.runner import RowToken
from gateway.engine.stop_strings import StopMatcher
from gateway.engine.tokenizer import Detokenizer


class Reply:
    def __init__(self, request_id: str, detokenizer: Detokenizer, stops: Sequence[str]) -> None:
        self.request_id = request_id
        self.completion_tokens = 0
        """Generated so far, the end-of-sequence token counted."""
        self.finish_reason: FinishReason | None = None
        self._detokenizer = detokenizer
        self._stops = StopMatcher(stops)

    def add(self, token: RowToken) -> str:
        """Return the text that this token lets out, maybe none, and set `finish_reason` where it is the last."""
        self.completion_tokens += 1
        text = "" if token.finish_reason is FinishReason.STOP else self._detokenizer.add(token.token)
        if token.finish_reason:
            text += self._detokenizer.finish()
        shown = self._stops.feed(text)
        if self._stops.matched:
            self.finish_reason = FinishReason.STOP
        elif token.finish_reason:
            shown += self._stops.flush()
            self.finish_reason = token.finish_reason
        return shown
