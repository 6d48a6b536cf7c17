"""A completion's prompt, told before its answer as if the model had said it."""

from collections.abc import Sequence

from gateway.contracts.chat import FinishReason
from gateway.contracts.logprobs import TokenLogprob
from gateway.contracts.scoring import PositionScore
from gateway.engine.logprobs import describe
from gateway.engine.reply import Reply
from gateway.engine.runner import DrawnLogprob, RowSpec, ScoreSpec
from gateway.engine.tokenizer import Tokenizer
from gateway.wire import Submit, TokenDelta


class Echo:
    """Of one request: the first delta has the prompt's text, each those log-probabilities that were computed for it."""

    def __init__(self, submit: Submit, spec: RowSpec, reply: Reply, tokenizer: Tokenizer, *, row: int) -> None:
        """`row` is the number of what scores the prompt; the answer has that of its own spec."""
        self.spec = spec
        self.reply = reply
        self._tokenizer = tokenizer
        self._text = submit.prompt if isinstance(submit.prompt, str) else tokenizer.decode(spec.prompt)
        self._entries: list[TokenLogprob] = []
        self.score: ScoreSpec | None = None
        """What is to be scored first; None where nothing is, because the first token has no score."""
        if submit.top_logprobs is None:
            return
        self._entries.append(describe(spec.prompt[0], DrawnLogprob(0.0, ()), tokenizer))
        if len(spec.prompt) > 1:
            self.score = ScoreSpec(row=row, tokens=spec.prompt, scored_from=1, top_k=submit.top_logprobs)

    @property
    def ends_answer(self) -> bool:
        """Whether nothing is to be generated."""
        return self.spec.max_tokens == 0

    def delta(self, positions: Sequence[PositionScore] = (), *, ended: bool) -> TokenDelta:
        """Return what is told next; with `ended` it is the last."""
        entries = [describe(it.token, DrawnLogprob(it.logprob, it.top), self._tokenizer) for it in positions]
        delta = TokenDelta(
            request_id=self.reply.request_id,
            text=self._text,
            completion_tokens=0,
            finish_reason=FinishReason.LENGTH if ended and self.ends_answer else None,
            logprobs=(*self._entries, *entries),
        )
        self._text = ""
        self._entries.clear()
        return delta
