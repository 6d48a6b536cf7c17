"""Log-probabilities as a client reads them: with the text of their tokens, and never ahead of the text that is sent."""

from collections import deque

from gateway.contracts.chat import FinishReason
from gateway.contracts.logprobs import LEAST_LOGPROB, TokenLogprob, TopLogprob
from gateway.engine.runner import DrawnLogprob, RowToken
from gateway.engine.tokenizer import Tokenizer


class LogprobLedger:
    """The entries of one request that wait for their text: it may be held back as the beginning of a stop string."""

    def __init__(self, tokenizer: Tokenizer, *, every_token: bool = False) -> None:
        """With `every_token` those have entries too that are no text, at the end: the one that ended the answer is."""
        self._tokenizer = tokenizer
        self._every_token = every_token
        self._untold: deque[TokenLogprob] = deque()
        """Their characters are not whole yet."""
        self._waiting: deque[tuple[int, TokenLogprob]] = deque()
        """With the length of the text that ends with them."""
        self._length = 0
        self._shown = 0

    def add(self, token: RowToken, text: str, *, is_text: bool = True) -> None:
        """Take a token and the text that it completed, which may be that of tokens before it too.

        Where it is no text but reasoning, or ends a call, it has no entry, and those that led to it have none either.
        """
        if not is_text:
            self._untold.clear()
            return
        if token.logprob is not None and (self._every_token or token.finish_reason is not FinishReason.STOP):
            self._untold.append(describe(token.token, token.logprob, self._tokenizer))
        if not text:
            return
        self._length += len(text)
        self._waiting.extend((self._length, entry) for entry in self._untold)
        self._untold.clear()

    def release(self, shown: str, *, ended: bool = False) -> tuple[TokenLogprob, ...]:
        """Return the entries whose text is shown with this piece of it: all of it, not a part.

        With `ended` the whole text is shown.
        """
        self._shown += len(shown)
        released: list[TokenLogprob] = []
        while self._waiting and self._waiting[0][0] <= self._shown:
            released.append(self._waiting.popleft()[1])
        if ended and self._every_token:
            released.extend(self._untold)
            self._untold.clear()
        return tuple(released)


def describe(token: int, drawn: DrawnLogprob, tokenizer: Tokenizer) -> TokenLogprob:
    """Return the entry of one token."""
    text, utf8 = _text_and_bytes(token, tokenizer)
    return TokenLogprob(
        token=text,
        logprob=max(drawn.logprob, LEAST_LOGPROB),
        bytes=utf8,
        top_logprobs=tuple(_top(top.token, top.logprob, tokenizer) for top in drawn.top),
    )


def _top(token: int, logprob: float, tokenizer: Tokenizer) -> TopLogprob:
    text, utf8 = _text_and_bytes(token, tokenizer)
    return TopLogprob(token=text, logprob=max(logprob, LEAST_LOGPROB), bytes=utf8)


def _text_and_bytes(token: int, tokenizer: Tokenizer) -> tuple[str, tuple[int, ...] | None]:
    if token >= tokenizer.size:  # The model's output is padded beyond the vocabulary.
        return "", None
    utf8 = tokenizer.bytes_of(token)
    return tokenizer.text_of(token), None if utf8 is None else tuple(utf8)
