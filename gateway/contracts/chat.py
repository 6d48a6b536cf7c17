"""OpenAI's chat completion, request and response, as far as the gateway speaks it.

Every field that is not here is refused by name: a parameter that is silently ignored is a wrong answer.
"""

import enum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.contracts.logprobs import ChoiceLogprobs
from gateway.contracts.messages import ChatMessage
from gateway.contracts.response_format import ResponseFormat
from gateway.contracts.tools import FunctionTool, ToolCall, ToolCallDelta, ToolChoice

TokenCount = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(ge=0, le=1)]
ChoiceCount = Annotated[int, Meta(ge=1, le=8)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
TopLogprobs = Annotated[int, Meta(ge=0, le=20)]
TopK = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
MinP = Annotated[float, Meta(ge=0, le=1)]
RepetitionPenalty = Annotated[float, Meta(gt=0, le=10)]
StopString = Annotated[str, Meta(min_length=1)]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]

RESERVED_TEMPLATE_ARGUMENTS = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "documents",
        "max_length",
        "messages",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "tokenize",
        "tokenizer_kwargs",
        "tools",
        "truncation",
    }
)
"""What the call that renders a template takes itself. A template of the client's own would be a stranger's program."""


class FinishReason(enum.StrEnum):
    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    """The model called; nothing was cut off."""


class ReasoningEffort(enum.StrEnum):
    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"

    @property
    def thinks(self) -> bool:
        """Templates that take `enable_thinking` know two levels only."""
        return self not in {ReasoningEffort.NONE, ReasoningEffort.MINIMAL}


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None
    """Accepted without effect: the gateway pads nothing."""


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the bodies of the routes that generate have in common."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: StopString | Annotated[tuple[StopString, ...], Meta(max_length=4)] | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    seed: Seed | None = None
    n: ChoiceCount | None = None
    """Of each prompt. Each choice is drawn by itself, with a seed that is derived from `seed`."""
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    """By token id of the model's vocabulary, from -100 to 100."""
    # Not OpenAI's, but what local servers take.
    top_k: TopK | None = None
    """0 and -1 take all."""
    min_p: MinP | None = None
    repetition_penalty: RepetitionPenalty | None = None
    """Unlike OpenAI's two, it counts the prompt's tokens too."""
    # Accepted and checked for type; without effect on the text.
    user: str | None = None


class ChatRequest(GenerationRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/chat/completions`."""

    messages: Annotated[tuple[ChatMessage, ...], Meta(min_length=1)]
    max_tokens: TokenCount | None = None
    """Older name of `max_completion_tokens`, which wins where both are given."""
    max_completion_tokens: TokenCount | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None
    """Needs `logprobs`."""
    response_format: ResponseFormat | None = None
    tools: Annotated[tuple[FunctionTool, ...], Meta(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    """None is `auto` where there are tools."""
    parallel_tool_calls: bool | None = None
    """False ends the answer with its first call."""
    reasoning_effort: ReasoningEffort | None = None
    """Sets `enable_thinking`, and reaches the chat template under its own name too."""
    chat_template_kwargs: dict[str, bool | int | float | str] | None = None
    """Arguments of the model's chat template, over the Variant's and those of `reasoning_effort`."""
    # Accepted and checked for type; without effect on the text.
    metadata: Metadata | None = None
    store: bool | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    # OpenAI's, and not offered here: null, which some clients send for what they do not set, is all that they may be.
    audio: None = None
    function_call: None = None
    functions: None = None
    modalities: None = None
    moderation: None = None
    prediction: None = None
    prompt_cache_options: None = None
    prompt_cache_retention: None = None
    web_search_options: None = None


class CompletionTokensDetails(msgspec.Struct, frozen=True, kw_only=True):
    reasoning_tokens: int = 0


class PromptTokensDetails(msgspec.Struct, frozen=True, kw_only=True):
    cached_tokens: int = 0
    """Those that were not computed again: an earlier request began the same."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    prompt_tokens: int
    completion_tokens: int
    """Reasoning included."""
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails = PromptTokensDetails()
    completion_tokens_details: CompletionTokensDetails = CompletionTokensDetails()


class AssistantMessage(msgspec.Struct, frozen=True, kw_only=True):
    role: Literal["assistant"] = "assistant"
    content: str | None
    """None where the answer is tool calls and nothing else."""
    refusal: None = None
    reasoning_content: str | msgspec.UnsetType = msgspec.UNSET
    """Not OpenAI's, but what clients of reasoning models read; absent where the model did not reason."""
    tool_calls: tuple[ToolCall, ...] | msgspec.UnsetType = msgspec.UNSET
    """Absent where there are none: an empty list reads as a call to some clients."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    message: AssistantMessage
    logprobs: ChoiceLogprobs | None = None
    finish_reason: FinishReason


class ChatCompletion(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    """The short digest of the Variant that answered."""
    choices: tuple[Choice, ...]
    usage: Usage


class Delta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    role: Literal["assistant"] | None = None
    content: str | None | msgspec.UnsetType = msgspec.UNSET
    reasoning_content: str | None = None
    tool_calls: tuple[ToolCallDelta, ...] = ()


class ChunkChoice(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    delta: Delta
    logprobs: ChoiceLogprobs | None = None
    finish_reason: FinishReason | None = None


class ChatCompletionChunk(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: tuple[ChunkChoice, ...]
    usage: Usage | None | msgspec.UnsetType = msgspec.UNSET
    """Absent unless usage was asked for; then null on every chunk but the last."""


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    max_model_len: int
    """Tokens of context. Not OpenAI's: clients that size their prompts read it."""


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: tuple[ModelCard, ...]


class ErrorObject(msgspec.Struct, frozen=True, kw_only=True):
    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    error: ErrorObject
