"""`POST /tokenize` and `/detokenize`, in vLLM's form."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.contracts.messages import ChatMessage
from gateway.contracts.tools import FunctionTool

TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class TokenizeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give either `prompt` or `messages`; what is said of messages goes with messages alone."""

    model: str | None = None
    """None where one model is served."""
    prompt: str | None = None
    messages: Annotated[tuple[ChatMessage, ...], Meta(min_length=1)] | None = None
    """Rendered as for a chat completion, with the Variant's prompt."""
    tools: Annotated[tuple[FunctionTool, ...], Meta(max_length=128)] | None = None
    chat_template_kwargs: dict[str, bool | int | float | str] | None = None
    add_generation_prompt: bool | None = None
    """Whether the messages end where the assistant's answer begins. None is true."""
    add_special_tokens: bool | None = None
    """Whether the tokenizer puts round the text what it puts round any, as a token that begins it. None is true of a
    prompt, and false of messages: a chat template says itself what it needs."""


class TokenizeView(msgspec.Struct, frozen=True, kw_only=True):
    tokens: tuple[int, ...]
    count: int
    max_model_len: int
    """Tokens of context."""


class DetokenizeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: str | None = None
    """None where one model is served."""
    tokens: tuple[TokenId, ...]


class DetokenizeView(msgspec.Struct, frozen=True, kw_only=True):
    prompt: str
    """Tokens of structure are written out."""
