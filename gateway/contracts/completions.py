"""OpenAI's older completion, request and response: a text is continued as it stands, without a chat template."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.contracts.chat import ChoiceCount, FinishReason, GenerationRequest, Usage
from gateway.contracts.tokens import TokenId

DEFAULT_MAX_TOKENS = 16
"""OpenAI's, for this route alone."""
MAX_PROMPTS = 128

TokenIds = Annotated[tuple[TokenId, ...], Meta(min_length=1)]


class CompletionRequest(GenerationRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/completions`."""

    prompt: str | Annotated[tuple[str | TokenId | TokenIds, ...], Meta(min_length=1)]
    """A text, the tokens of one, or several of either kind; `gateway/completions.py` checks that it is no mixture."""
    max_tokens: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    """0 only with `echo`: then nothing is generated."""
    echo: bool | None = None
    """Whether the prompt stands before its continuation, with its log-probabilities where these are asked for."""
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    """How many tokens to name beside each."""
    best_of: ChoiceCount | None = None
    """No more than `n`: choices that are drawn and thrown away are not offered."""
    # OpenAI's, and not offered here.
    suffix: None = None


class CompletionLogprobs(msgspec.Struct, frozen=True, kw_only=True):
    """Of each token in order; in a chunk, of those whose text ends with it."""

    tokens: tuple[str, ...]
    """What each decodes to alone; a part of a character is written as OpenAI does, `bytes:\\xe2\\x82`."""
    token_logprobs: tuple[float | None, ...]
    """Natural, of the model's own distribution. None of an echoed prompt's first token: nothing stands before it."""
    top_logprobs: tuple[dict[str, float] | None, ...]
    """The likeliest tokens at this place, and the one that stands there, by their text."""
    text_offset: tuple[int, ...]
    """Where in the choice's text each begins, in characters; the parts of a character begin with it."""


class CompletionChoice(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    """Choices of the first prompt come first."""
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: FinishReason | None
    """None in a chunk that is not the choice's last."""


class TextCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """The answer, or one chunk of a streamed one: they differ in `finish_reason` and `usage` alone."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    """The short digest of the Variant that answered."""
    choices: tuple[CompletionChoice, ...]
    usage: Usage | None | msgspec.UnsetType = msgspec.UNSET
    """Absent from chunks unless it was asked for; then null on every chunk but the last."""
