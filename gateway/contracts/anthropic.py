"""Anthropic's Messages API, request and response, as far as the gateway speaks it.

Every field that is not here is refused by name, as in `chat.py`; those of Anthropic's that may only be null are not
offered.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.contracts.chat import StopString, TokenCount, TopP
from gateway.contracts.tools import CallId, FunctionName

Temperature = Annotated[float, Meta(ge=0, le=1)]
TopK = Annotated[int, Meta(ge=0, le=2**31 - 1)]
StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]
Effort = Literal["low", "medium", "high", "xhigh", "max"]

# --- what is sent ---


class CacheControl(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="ephemeral"
):
    """Accepted without effect: every prompt's beginning is kept, as long as there is room."""

    ttl: Literal["5m", "1h"] | None = None


class DirectCaller(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="direct"
):
    """The model itself, and not a program that a server runs for it."""


class SentText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    text: str
    cache_control: CacheControl | None = None
    citations: None = None
    parsed_output: Any = None
    """Without effect: the official client adds it to what it received."""


class SentThinking(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="thinking"
):
    thinking: str
    signature: str | None = None
    """Not verified: reasoning that is sent back is the client's word, as all of a conversation is."""


class RedactedThinking(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="redacted_thinking"
):
    """Another server's: nothing that this one can read, and left out."""

    data: str


class SentToolUse(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="tool_use"
):
    id: CallId
    name: Annotated[str, Meta(min_length=1)]
    input: dict[str, Any]
    cache_control: CacheControl | None = None
    caller: DirectCaller | None = None
    toolset_name: None = None


class SentToolResult(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="tool_result"
):
    tool_use_id: CallId
    content: str | tuple[SentText, ...] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None
    toolset_name: None = None


SentBlock = SentText | SentThinking | RedactedThinking | SentToolUse | SentToolResult
"""A text model takes text: images, documents and what servers' tools gave are refused by their types."""


class SentMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One turn. What goes with which role is checked in `gateway/anthropic.py`."""

    role: Literal["user", "assistant", "system"]
    content: str | tuple[SentBlock, ...]


class Tool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool that the client runs. Tools that a server runs are refused by their types."""

    type: Literal["custom"] | None = None
    name: FunctionName
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    """Inputs are constrained to the schema, as they are wherever a call is demanded."""
    cache_control: CacheControl | None = None
    eager_input_streaming: bool | None = None
    """Without effect: a call comes when it is whole."""
    allowed_callers: tuple[Literal["direct"], ...] | None = None
    defer_loading: None = None
    input_examples: None = None


class ChoiceAuto(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="auto"):
    disable_parallel_tool_use: bool | None = None
    """True ends the answer with its first call."""


class ChoiceAny(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="any"):
    """The answer is one call of some tool."""

    disable_parallel_tool_use: bool | None = None


class ChoiceTool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="tool"):
    """The answer is one call of this tool."""

    name: FunctionName
    disable_parallel_tool_use: bool | None = None


class ChoiceNone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="none"):
    """No tool is shown to the model."""


class Thinking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    type: Literal["enabled", "adaptive", "between_tools", "disabled"]
    """All but the last let the model reason, where its chat template can be told."""
    budget_tokens: Annotated[int, Meta(ge=1024)] | None = None
    """Without effect: reasoning is bounded by `max_tokens`."""
    display: Literal["summarized", "omitted"] | None = None
    """Reasoning comes whole, or, `omitted`, as a block without its text."""


class SchemaFormat(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="json_schema"
):
    schema: dict[str, Any]


class OutputConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    effort: Effort | None = None
    """Reaches the chat template as chat's `reasoning_effort` does."""
    format: SchemaFormat | None = None
    """The answer is held to the schema."""


class RequestMetadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    user_id: str | None = None


class CountTokensRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/messages/count_tokens`, which is what a prompt is made of."""

    model: str
    messages: Annotated[tuple[SentMessage, ...], Meta(min_length=1)]
    system: str | tuple[SentText, ...] | None = None
    tools: Annotated[tuple[Tool, ...], Meta(max_length=128)] | None = None
    tool_choice: ChoiceAuto | ChoiceAny | ChoiceTool | ChoiceNone | None = None
    thinking: Thinking | None = None
    """None is the Variant's."""
    output_config: OutputConfig | None = None
    # Accepted and checked for type; without effect on the text.
    cache_control: CacheControl | None = None
    speed: Literal["standard"] | None = None
    # Not offered.
    context_management: None = None
    mcp_servers: None = None
    user_profile_id: None = None


class MessageRequest(CountTokensRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/messages`."""

    max_tokens: TokenCount
    """Reasoning included."""
    stream: bool | None = None
    stop_sequences: Annotated[tuple[StopString, ...], Meta(max_length=16)] | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    """0 takes all."""
    # Accepted and checked for type; without effect on the text.
    metadata: RequestMetadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    # Not offered.
    container: None = None
    diagnostics: None = None
    inference_geo: None = None


# --- what is answered ---


class TextBlock(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    text: str


class ThinkingBlock(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="thinking"):
    thinking: str
    signature: str


class ToolUseBlock(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]
    """As the model wrote it: its numbers may be beyond what Python reads."""


Block = TextBlock | ThinkingBlock | ToolUseBlock


class OutputTokensDetails(msgspec.Struct, frozen=True, kw_only=True):
    thinking_tokens: int


class MessageUsage(msgspec.Struct, frozen=True, kw_only=True):
    input_tokens: int
    """Those that were computed; the prompt has these and those of the cache."""
    cache_creation_input_tokens: int = 0
    """Always 0: the cache takes every prompt, and nothing is charged for it."""
    cache_read_input_tokens: int
    output_tokens: int
    """Reasoning included."""
    output_tokens_details: OutputTokensDetails


class Message(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: tuple[Block, ...]
    stop_reason: StopReason | None
    """None only where a stream begins."""
    stop_sequence: str | None
    usage: MessageUsage


class MessageTokenCount(msgspec.Struct, frozen=True, kw_only=True):
    input_tokens: int


# --- the events of a stream ---


class MessageStart(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["message_start"] = "message_start"
    message: Message


class BlockStart(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["content_block_start"] = "content_block_start"
    index: int
    content_block: Block


class AddedText(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="text_delta"):
    text: str


class AddedThinking(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="thinking_delta"):
    thinking: str


class AddedSignature(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="signature_delta"):
    signature: str


class AddedInput(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="input_json_delta"):
    partial_json: str


class BlockDelta(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["content_block_delta"] = "content_block_delta"
    index: int
    delta: AddedText | AddedThinking | AddedSignature | AddedInput


class BlockStop(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["content_block_stop"] = "content_block_stop"
    index: int


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    stop_reason: StopReason
    stop_sequence: str | None = None


class MessageEnd(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["message_delta"] = "message_delta"
    delta: Ending
    usage: MessageUsage


class MessageStop(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["message_stop"] = "message_stop"


StreamEvent = MessageStart | BlockStart | BlockDelta | BlockStop | MessageEnd | MessageStop

# --- models ---


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    type: Literal["model"] = "model"
    display_name: str
    created_at: str
    """RFC 3339, UTC."""
    lifecycle: Literal["active"] = "active"
    max_input_tokens: int
    """Of context; what is generated is among them."""


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """The latest first."""

    data: tuple[ModelInfo, ...]
    has_more: bool
    first_id: str | None
    last_id: str | None


# --- errors ---


ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "overloaded_error",
]


class MessageError(msgspec.Struct, frozen=True, kw_only=True):
    type: ErrorType
    message: str


class MessageErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """Of every error on these routes, and the last event of a stream that breaks off."""

    type: Literal["error"] = "error"
    error: MessageError
    request_id: str | msgspec.UnsetType = msgspec.UNSET
    """Absent from a stream's: its headers have it."""
