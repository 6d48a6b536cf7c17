"""Log-probabilities of an answer's tokens, as OpenAI's chat completions carry them."""

import msgspec

LEAST_LOGPROB = -9999.0
"""Stands for minus infinity, which JSON does not have; OpenAI's value for it."""


class TopLogprob(msgspec.Struct, frozen=True, kw_only=True):
    token: str
    """What the token decodes to alone; a part of a character is U+FFFD."""
    logprob: float
    """Natural, of the model's own distribution: before temperature, penalties, biases and grammar."""
    bytes: tuple[int, ...] | None
    """UTF-8 of the token, whole characters or not: those of successive tokens make the text. None where it has none."""


class TokenLogprob(TopLogprob, frozen=True, kw_only=True):
    top_logprobs: tuple[TopLogprob, ...]
    """The likeliest tokens at this place, likeliest first, as many as were asked for."""


class ChoiceLogprobs(msgspec.Struct, frozen=True, kw_only=True):
    content: tuple[TokenLogprob, ...]
    """Of the tokens whose text is in the content; in a chunk, of those whose text ends with it."""
    refusal: None = None
