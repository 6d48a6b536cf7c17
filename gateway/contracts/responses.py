"""OpenAI's Responses API, request and response, as far as the gateway speaks it.

Every field that is not here is refused by name, as in `chat.py`.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.contracts.chat import Metadata, ReasoningEffort, Temperature, TokenCount, TopLogprobs, TopP
from gateway.contracts.logprobs import TokenLogprob
from gateway.contracts.response_format import JsonObjectFormat, JsonSchema, TextFormat
from gateway.contracts.tools import CallId, FunctionDefinition, FunctionReference

ItemType = Literal["message", "function_call", "function_call_output", "reasoning", "item_reference"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]
ResponseStatus = Literal["in_progress", "completed", "incomplete", "failed"]

# --- items ---


class InputTextPart(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="input_text"
):
    """A text model takes text: images, audio and files are refused by their names."""

    text: str


class OutputTextPart(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="output_text"
):
    text: str
    annotations: tuple[dict[str, Any], ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = ()
    parsed: Any | msgspec.UnsetType = msgspec.UNSET
    """Without effect: the official client adds it to what it received."""


class RefusalPart(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="refusal"
):
    """What an assistant said instead of an answer; read as its text."""

    refusal: str

    @property
    def text(self) -> str:
        return self.refusal


class ReasoningTextPart(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="reasoning_text"
):
    text: str


class SummaryTextPart(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="summary_text"
):
    text: str


Part = InputTextPart | OutputTextPart | RefusalPart | ReasoningTextPart


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One item of any type, sent or kept. What goes with which type is checked in `gateway/responses.py`."""

    type: ItemType | None = None
    """None is a message; a reference stands for an item of a kept response."""
    id: str | None = None
    status: ItemStatus | None = None
    # Of a message.
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: str | tuple[Part, ...] | None = None
    """Of reasoning too: its text."""
    # Of a call, and of what it gave.
    call_id: CallId | None = None
    name: Annotated[str, Meta(min_length=1)] | None = None
    arguments: str | None = None
    """JSON, as the model wrote it."""
    output: str | tuple[InputTextPart, ...] | None = None
    # Of reasoning.
    summary: tuple[SummaryTextPart, ...] | None = None
    """Read where there is no text."""
    encrypted_content: str | None = None
    """Another server's: nothing that this one can read."""
    # What OpenAI's answers and its client add, and clients send back: without effect.
    phase: Literal["commentary", "final_answer"] | None = None
    parsed_arguments: Any = None
    async_: None = msgspec.field(default=None, name="async")
    caller: None = None
    namespace: None = None
    created_by: str | None = None


class OutputMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    id: str
    status: ItemStatus
    role: Literal["assistant"] = "assistant"
    content: tuple[OutputTextPart, ...]


class FunctionCall(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    id: str
    status: ItemStatus
    call_id: str
    """By which the call's output names it."""
    name: str
    arguments: str
    """JSON, as the model wrote it."""


class ReasoningItem(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning"):
    id: str
    status: ItemStatus
    summary: tuple[SummaryTextPart, ...] = ()
    """Always empty: nobody summarises, the whole text is in `content`."""
    content: tuple[ReasoningTextPart, ...]


OutputItem = OutputMessage | FunctionCall | ReasoningItem


# --- the request ---


class ResponseFunction(
    FunctionDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="function"
):
    """A function that may be called. Hosted and custom tools are refused by their types."""

    allowed_callers: None = None
    async_: None = msgspec.field(default=None, name="async")
    defer_loading: None = None
    output_schema: None = None


class ChosenFunction(
    FunctionReference, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="function"
):
    """One that is named."""


class AllowedFunctions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="allowed_tools"
):
    mode: Literal["auto", "required"]
    tools: Annotated[tuple[ChosenFunction, ...], Meta(min_length=1)]


class NamedSchemaFormat(
    JsonSchema, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="json_schema"
):
    """The answer is held to the schema, strict or not."""


class TextOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: TextFormat | JsonObjectFormat | NamedSchemaFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    """Without effect."""


class ReasoningOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    effort: ReasoningEffort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    """Without effect: reasoning comes whole."""
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    """Older name of `summary`."""
    context: Literal["auto", "all_turns"] | None = None
    """What is sent back is shown to the model's chat template, which may leave earlier turns' out."""
    mode: Literal["standard"] | None = None


class ResponseStreamOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    include_obfuscation: bool | None = None
    """Accepted without effect: the gateway pads nothing."""


Included = Literal["message.output_text.logprobs", "reasoning.encrypted_content"]
"""The second is without effect: reasoning is not encrypted."""


class ResponseRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/responses`."""

    model: str
    input: str | Annotated[tuple[Item, ...], Meta(min_length=1)]
    instructions: str | None = None
    """The system message; those of an earlier response are not carried over."""
    previous_response_id: str | None = None
    """Whose input and output stand before the input."""
    store: bool | None = None
    """False keeps nothing; else the response is kept where the gateway keeps any."""
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    max_output_tokens: TokenCount | None = None
    """Reasoning included."""
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_logprobs: TopLogprobs | None = None
    """Needs `message.output_text.logprobs` in `include`."""
    include: tuple[Included, ...] | None = None
    text: TextOptions | None = None
    tools: Annotated[tuple[ResponseFunction, ...], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChosenFunction | AllowedFunctions | None = None
    """None is `auto` where there are tools."""
    parallel_tool_calls: bool | None = None
    """False ends the answer with its first call."""
    reasoning: ReasoningOptions | None = None
    truncation: Literal["disabled"] | None = None
    """A conversation that is too long is refused; nothing is left out of it."""
    background: bool | None = None
    """False is all that it may be."""
    # Accepted and checked for type; without effect on the text.
    metadata: Metadata | None = None
    user: str | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"] | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    client_metadata: dict[str, str] | None = None
    """Codex sends it."""
    # OpenAI's, and not offered here: null is all that they may be.
    access_programs: None = None
    background_options: None = None
    context_management: None = None
    conversation: None = None
    image: None = None
    max_tool_calls: None = None
    moderation: None = None
    prompt: None = None
    prompt_cache_options: None = None
    prompt_cache_retention: None = None


# --- the response ---


class InputTokensDetails(msgspec.Struct, frozen=True, kw_only=True):
    cached_tokens: int
    """Those that were not computed again: an earlier request began the same."""
    cache_write_tokens: int = 0
    """Nobody is charged for them here, and they are not counted."""


class OutputTokensDetails(msgspec.Struct, frozen=True, kw_only=True):
    reasoning_tokens: int


class ResponseUsage(msgspec.Struct, frozen=True, kw_only=True):
    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    """Reasoning included."""
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class IncompleteDetails(msgspec.Struct, frozen=True, kw_only=True):
    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ResponseError(msgspec.Struct, frozen=True, kw_only=True):
    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str
    param: str | None
    type: str
    """The gateway's own code, which says more."""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["response"] = "response"
    created_at: int
    """Unix time in seconds."""
    status: ResponseStatus
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    model: str
    system_fingerprint: str
    """The short digest of the Variant that answered. Not OpenAI's."""
    output: tuple[OutputItem, ...] = ()
    usage: ResponseUsage | None = None
    # What was asked.
    instructions: str | None
    previous_response_id: str | None
    max_output_tokens: int | None
    temperature: float | None
    """None is the Variant's own, as of `top_p`."""
    top_p: float | None
    top_logprobs: int
    text: TextOptions
    tools: tuple[ResponseFunction, ...]
    tool_choice: Literal["none", "auto", "required"] | ChosenFunction | AllowedFunctions
    parallel_tool_calls: bool
    reasoning: ReasoningOptions
    metadata: dict[str, str]
    user: str | None
    prompt_cache_key: str | None
    safety_identifier: str | None
    # What is the same in every response.
    background: bool = False
    max_tool_calls: None = None
    service_tier: Literal["default"] = "default"
    truncation: Literal["disabled"] = "disabled"
    store: bool
    """Whether it is kept."""


class DeletedResponse(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


class ItemList(msgspec.Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: tuple[Item, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


# --- the events of a stream, each with its number in it ---


class ResponseEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The first two, and the last, which says how the answer ended."""

    type: Literal[
        "response.created", "response.in_progress", "response.completed", "response.incomplete", "response.failed"
    ]
    sequence_number: int
    response: Response


class ItemEvent(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["response.output_item.added", "response.output_item.done"]
    sequence_number: int
    output_index: int
    item: OutputItem


class PartEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Of a message and of reasoning, which have one part each."""

    type: Literal["response.content_part.added", "response.content_part.done"]
    sequence_number: int
    output_index: int
    item_id: str
    content_index: int = 0
    part: OutputTextPart | ReasoningTextPart


class TextDelta(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    sequence_number: int
    output_index: int
    item_id: str
    content_index: int = 0
    delta: str
    logprobs: tuple[TokenLogprob, ...]


class TextDone(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["response.output_text.done"] = "response.output_text.done"
    sequence_number: int
    output_index: int
    item_id: str
    content_index: int = 0
    text: str
    logprobs: tuple[TokenLogprob, ...]


class ReasoningDelta(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["response.reasoning_text.delta"] = "response.reasoning_text.delta"
    sequence_number: int
    output_index: int
    item_id: str
    content_index: int = 0
    delta: str


class ReasoningDone(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["response.reasoning_text.done"] = "response.reasoning_text.done"
    sequence_number: int
    output_index: int
    item_id: str
    content_index: int = 0
    text: str


class ArgumentsDelta(msgspec.Struct, frozen=True, kw_only=True):
    """A call's arguments, whole."""

    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"
    sequence_number: int
    output_index: int
    item_id: str
    delta: str


class ArgumentsDone(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    sequence_number: int
    output_index: int
    item_id: str
    name: str
    arguments: str


StreamEvent = (
    ResponseEvent
    | ItemEvent
    | PartEvent
    | TextDelta
    | TextDone
    | ReasoningDelta
    | ReasoningDone
    | ArgumentsDelta
    | ArgumentsDone
)
