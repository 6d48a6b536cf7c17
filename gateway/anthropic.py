"""Make of a request in Anthropic's form the chat request that it is, and of an answer its blocks. Pure."""

import re
from collections.abc import Iterator, Sequence

import msgspec

from gateway.contracts.anthropic import (
    Block,
    ChoiceAny,
    ChoiceAuto,
    ChoiceNone,
    ChoiceTool,
    CountTokensRequest,
    Ending,
    MessageRequest,
    RedactedThinking,
    SentBlock,
    SentMessage,
    SentText,
    SentThinking,
    SentToolResult,
    SentToolUse,
    TextBlock,
    ThinkingBlock,
    Tool,
    ToolUseBlock,
)
from gateway.contracts.chat import ChatRequest, FinishReason
from gateway.contracts.messages import ChatMessage
from gateway.contracts.response_format import JsonSchema, JsonSchemaFormat
from gateway.contracts.tools import (
    FunctionDefinition,
    FunctionReference,
    FunctionTool,
    NamedFunction,
    SentCall,
    SentFunction,
    ToolCall,
    ToolChoice,
)
from gateway.errors import GatewayError, InvalidRequest
from gateway.field_names import Names, renamed
from gateway.schema_depth import MAX_SCHEMA_DEPTH, is_deeper
from gateway.turns import in_turns, paragraphs
from gateway.wire import TokenDelta

SIGNATURE = "unsigned"
"""Of reasoning. Nothing is signed here; an empty one, some clients take for reasoning that may not be sent back."""

_ID_PREFIX = "toolu_"
_ROLES = frozenset({"system", "user", "assistant"})
_ALLOWED: dict[str, tuple[type[SentBlock], ...]] = {
    "system": (SentText,),
    "user": (SentText, SentToolResult),
    "assistant": (SentText, SentThinking, RedactedThinking, SentToolUse),
}
"""The blocks of each role."""


def chat_request(request: CountTokensRequest) -> ChatRequest:
    """Return what is asked of the model. Raises InvalidRequest."""
    chat = ChatRequest(
        model=request.model,
        messages=_messages(request),
        response_format=_response_format(request),
        tools=tuple(map(_tool, request.tools or ())) or None,
        tool_choice=_tool_choice(request),
        parallel_tool_calls=_parallel(request),
        chat_template_kwargs=_template_arguments(request),
    )
    if not isinstance(request, MessageRequest):
        return chat
    return msgspec.structs.replace(
        chat,
        stream=request.stream,
        max_tokens=request.max_tokens,
        stop=request.stop_sequences,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
    )


# --- messages ---


def _messages(request: CountTokensRequest) -> tuple[ChatMessage, ...]:
    last = len(request.messages) - 1
    if request.messages[last].role == "assistant":
        raise InvalidRequest(
            f"`messages[{last}]` is the assistant's; this gateway continues no answer that is begun, so end with "
            "the user's.",
            param=f"messages[{last}].role",
        )
    return tuple(in_turns(_said(request), joining=_ROLES))


def _said(request: CountTokensRequest) -> Iterator[ChatMessage]:
    """Yield a message for each block. Raises InvalidRequest for a block of another role, or a result of no call."""
    if system := request.system if isinstance(request.system, str) else _text(request.system or ()):
        yield ChatMessage(role="system", content=system)
    called: set[str] = set()
    for index, message in enumerate(request.messages):
        path = f"messages[{index}].content"
        blocks = (SentText(text=message.content),) if isinstance(message.content, str) else message.content
        if not blocks and message.role != "assistant":
            raise InvalidRequest(f"`{path}` is empty; give it a block of text.", param=path)
        if not blocks:  # what the model said may be nothing
            yield ChatMessage(role="assistant", content="")
        for place, block in enumerate(blocks):
            _check(message, block, f"{path}[{place}]", called)
            if isinstance(block, SentToolUse):
                called.add(block.id)
            yield _of_block(message, block)


def _check(message: SentMessage, block: SentBlock, path: str, called: set[str]) -> None:
    if not isinstance(block, _ALLOWED[message.role]):
        raise InvalidRequest(
            f"`{path}.type` does not go with the role `{message.role}` of the message.", param=f"{path}.type"
        )
    if isinstance(block, SentToolUse) and is_deeper(block.input, MAX_SCHEMA_DEPTH):
        raise InvalidRequest(
            f"`{path}.input` is nested more than {MAX_SCHEMA_DEPTH} levels deep.", param=f"{path}.input"
        )
    if isinstance(block, SentToolResult) and block.tool_use_id not in called:
        raise InvalidRequest(
            f"`{path}.tool_use_id` names no `tool_use` before it; send the message that has it too.",
            param=f"{path}.tool_use_id",
        )


def _of_block(message: SentMessage, block: SentBlock) -> ChatMessage:
    match block:
        case SentText(text=text):
            return ChatMessage(role=message.role, content=text)
        case SentThinking(thinking=thinking):
            return ChatMessage(role="assistant", content="", reasoning_content=thinking or None)
        case RedactedThinking():
            return ChatMessage(role="assistant", content="")
        case SentToolUse():
            function = SentFunction(name=block.name, arguments=msgspec.json.encode(block.input).decode())
            call = SentCall(id=_call_id(block.id), function=function)
            return ChatMessage(role="assistant", content="", tool_calls=(call,))
        case SentToolResult():
            text = block.content if isinstance(block.content, str) else _text(block.content or ())
            if block.is_error:
                # Models know no other mark of it.
                text = f"Error: {text}"
            return ChatMessage(role="tool", content=text, tool_call_id=_call_id(block.tool_use_id))


def _call_id(tool_use_id: str) -> str:
    """Return the id that the model's chat template knows the call by."""
    return tool_use_id.removeprefix(_ID_PREFIX) or tool_use_id


def _text(blocks: Sequence[SentText]) -> str:
    return paragraphs(block.text for block in blocks)


# --- the rest of the request ---


def _response_format(request: CountTokensRequest) -> JsonSchemaFormat | None:
    if request.output_config is None or request.output_config.format is None:
        return None
    return JsonSchemaFormat(json_schema=JsonSchema(name="output", schema=request.output_config.format.schema))


def _tool(tool: Tool) -> FunctionTool:
    return FunctionTool(
        function=FunctionDefinition(
            name=tool.name, description=tool.description, parameters=tool.input_schema, strict=tool.strict
        )
    )


def _tool_choice(request: CountTokensRequest) -> ToolChoice | None:
    match request.tool_choice:
        case None | ChoiceAuto():
            return None
        case ChoiceNone():
            return "none"
        case ChoiceAny():
            return "required"
        case ChoiceTool(name=name):
            return NamedFunction(function=FunctionReference(name=name))


def _parallel(request: CountTokensRequest) -> bool | None:
    match request.tool_choice:
        case None | ChoiceNone():
            return None
        case choice:
            return not choice.disable_parallel_tool_use


def _template_arguments(request: CountTokensRequest) -> dict[str, bool | int | float | str]:
    """Return what the chat template is told. An effort by itself does not ask for reasoning, unlike chat's."""
    arguments: dict[str, bool | int | float | str] = {}
    if request.thinking is not None:
        arguments["enable_thinking"] = request.thinking.type != "disabled"
    if request.output_config is not None and request.output_config.effort is not None:
        arguments["reasoning_effort"] = request.output_config.effort
    return arguments


# --- the answer ---


def blocks_of(said: TokenDelta, *, thinking_shown: bool) -> Iterator[Block]:
    """Yield what was said, in the order in which a stream tells it."""
    if said.reasoning:
        yield ThinkingBlock(thinking=said.reasoning if thinking_shown else "", signature=SIGNATURE)
    if said.text:
        yield TextBlock(text=said.text)
    for call in said.tool_calls:
        yield ToolUseBlock(
            id=tool_use_id(call), name=call.function.name, input=msgspec.Raw(call.function.arguments.encode())
        )


def tool_use_id(call: ToolCall) -> str:
    """Return the call's id with the prefix that Anthropic's clients may look for; sent back, it is taken off again."""
    return _ID_PREFIX + call.id


def ending_of(said: TokenDelta) -> Ending:
    """Return how an answer that has its end came to it."""
    if said.finish_reason is FinishReason.TOOL_CALLS:
        return Ending(stop_reason="tool_use")
    if said.stop_string is not None:
        return Ending(stop_reason="stop_sequence", stop_sequence=said.stop_string)
    return Ending(stop_reason="max_tokens" if said.finish_reason is FinishReason.LENGTH else "end_turn")


# --- errors ---

_NAMES: Names = (
    (re.compile(r"\bresponse_format(\.json_schema)?\b"), "output_config.format"),
    (re.compile(r"\bmax_completion_tokens\b"), "max_tokens"),
    (re.compile(r"\b(tools\[\d+\])\.function\.parameters\b"), r"\1.input_schema"),
    (re.compile(r"\b(tools\[\d+\])\.function\b"), r"\1"),
)


def named(error: GatewayError) -> GatewayError:
    """Return an error about a chat request in the words of Anthropic's."""
    return renamed(error, _NAMES)
