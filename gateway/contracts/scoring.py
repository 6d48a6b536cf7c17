"""`POST /admin/score`: how likely a Variant's engine holds a text that is given, token by token (teacher forcing)."""

from typing import Annotated

import msgspec

MAX_TOP_K = 64


class ScoreMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: str
    content: str


class ScoreRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Name either `variant` or `model` (its incumbent), and give either `tokens` or `messages`."""

    variant: str | None = None
    """`name@digest`, name or digest."""
    model: str | None = None
    tokens: Annotated[tuple[Annotated[int, msgspec.Meta(ge=0)], ...], msgspec.Meta(min_length=2)] | None = None
    """Ids of the engine's vocabulary, at least two. All but the first, before which nothing stands, are scored."""
    messages: Annotated[tuple[ScoreMessage, ...], msgspec.Meta(min_length=1)] | None = None
    """Rendered by the engine's chat template, with the Variant's prompt. Where the last is the assistant's, its
    content alone is scored, as the answer to those before it; else the whole prompt but its first token is."""
    top_k: Annotated[int, msgspec.Meta(ge=0, le=MAX_TOP_K)] = 0


class TopToken(msgspec.Struct, frozen=True, array_like=True):
    token: int
    logprob: float


class PositionScore(msgspec.Struct, frozen=True, kw_only=True):
    """One scored token, given all before it. Logarithms are natural."""

    token: int
    logprob: float
    top: tuple[TopToken, ...]
    """The `top_k` likeliest tokens (fewer where the vocabulary is smaller), likeliest first."""
    tail_mass: float
    """Probability of all tokens outside `top`, summed over them and not taken as the rest from 1, so that a small one
    keeps its digits."""


class TokenScore(PositionScore, frozen=True, kw_only=True):
    text: str
    """What the token decodes to alone; a part of a character is U+FFFD."""


class ScoreView(msgspec.Struct, frozen=True, kw_only=True):
    """`[token, logprob]` pairs stand in `top`."""

    variant: str
    """Reference of the Variant whose engine scored."""
    token_count: int
    """Tokens that the engine read: those before the scored ones are among them."""
    positions: tuple[TokenScore, ...]
    """In order: the last `len(positions)` of the tokens read."""
