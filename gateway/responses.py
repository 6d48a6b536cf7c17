"""Make of a Responses request the chat request that it is, and of its items messages. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from gateway.contracts.chat import ChatRequest
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.messages import ChatMessage
from gateway.contracts.response_format import JsonSchema, JsonSchemaFormat, ResponseFormat
from gateway.contracts.responses import (
    AllowedFunctions,
    ChosenFunction,
    InputTextPart,
    Item,
    ItemType,
    NamedSchemaFormat,
    OutputItem,
    OutputTextPart,
    Part,
    ReasoningTextPart,
    ResponseFunction,
    ResponseRequest,
)
from gateway.contracts.tools import (
    AllowedTools,
    AllowedToolsChoice,
    FunctionDefinition,
    FunctionReference,
    FunctionTool,
    NamedFunction,
    SentCall,
    SentFunction,
    ToolChoice,
)
from gateway.errors import GatewayError, InvalidRequest
from gateway.field_names import Names, renamed
from gateway.turns import in_turns, paragraphs

RESPONSE_PREFIX = "resp_"
_LOGPROBS = "message.output_text.logprobs"
_ID_PREFIXES: Mapping[ItemType, str] = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
}
_FIELDS: Mapping[ItemType, tuple[frozenset[str], frozenset[str]]] = {
    "message": (frozenset({"role", "content"}), frozenset()),
    "function_call": (frozenset({"call_id", "name", "arguments"}), frozenset()),
    "function_call_output": (frozenset({"call_id", "output"}), frozenset({"name"})),
    "reasoning": (frozenset(), frozenset({"content", "summary", "encrypted_content"})),
}
"""What an item of each type must have, and what it may have beside that."""
_ALL_FIELDS = sorted(frozenset[str]().union(*(needed | allowed for needed, allowed in _FIELDS.values())))


def chat_request(request: ResponseRequest, items: Sequence[Item]) -> ChatRequest:
    """Return what is asked of the model; the request's own items are the last of `items`. Raises InvalidRequest."""
    if request.background:
        raise InvalidRequest(
            "`background` is not offered by this gateway; leave it out, and stream a long answer.",
            code=ErrorCode.UNKNOWN_PARAMETER,
            param="background",
        )
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest("`stream_options` is allowed only where `stream` is true.", param="stream_options")
    has_logprobs = wants_logprobs(request)
    if request.top_logprobs and not has_logprobs:
        raise InvalidRequest(f"`top_logprobs` needs `{_LOGPROBS}` in `include`.", param="top_logprobs")
    return ChatRequest(
        model=request.model,
        messages=_messages(request, items),
        stream=request.stream,
        temperature=request.temperature,
        top_p=request.top_p,
        max_completion_tokens=request.max_output_tokens,
        logprobs=has_logprobs,
        top_logprobs=request.top_logprobs if has_logprobs else None,
        response_format=_response_format(request),
        tools=tuple(map(_tool, request.tools or ())) or None,
        tool_choice=_tool_choice(request),
        parallel_tool_calls=request.parallel_tool_calls,
        reasoning_effort=request.reasoning.effort if request.reasoning else None,
    )


def wants_logprobs(request: ResponseRequest) -> bool:
    return _LOGPROBS in (request.include or ())


# --- items ---


def sent_items(request: ResponseRequest) -> tuple[Item, ...]:
    return (Item(role="user", content=request.input),) if isinstance(request.input, str) else request.input


def listed_items(items: Sequence[Item], response_id: str) -> tuple[Item, ...]:
    """Return the items that a response answered as they are listed: in full, each with its type, parts and an id."""
    number = response_id.removeprefix(RESPONSE_PREFIX)
    return tuple(_in_full(item, f"{number}_in{index}") for index, item in enumerate(items))


def said_item_id(response_id: str, prefix: str, index: int) -> str:
    """Return the id of an item that a response says, which is the same whether that is streamed or not."""
    return f"{prefix}_{response_id.removeprefix(RESPONSE_PREFIX)}_{index}"


def response_of(item_id: str) -> str:
    """Return the id of the response that said the item; of another item an id that no response has."""
    return RESPONSE_PREFIX + "_".join(item_id.split("_")[1:-1])


def said_item(item: OutputItem) -> Item:
    """Return what was answered as it is sent back."""
    return msgspec.convert(msgspec.to_builtins(item), Item)


def _in_full(item: Item, number: str) -> Item:
    kind = item.type or "message"
    content = item.content
    if kind == "message" and isinstance(content, str):
        content = (OutputTextPart(text=content) if item.role == "assistant" else InputTextPart(text=content),)
    item_id = item.id or f"{_ID_PREFIXES[kind]}_{number}"
    return msgspec.structs.replace(item, type=kind, id=item_id, content=content, status=item.status or "completed")


def _check(item: Item, path: str) -> None:
    """Raise InvalidRequest where a field is missing that the type needs, or stands that another type has."""
    kind = item.type or "message"
    needed, allowed = _FIELDS[kind]
    for field in _ALL_FIELDS:
        given = getattr(item, field) is not None
        if field in needed and not given:
            raise InvalidRequest(
                f"`{path}.{field}` is missing; an item of the type `{kind}` has it.",
                code=ErrorCode.MISSING_PARAMETER,
                param=f"{path}.{field}",
            )
        if given and field not in needed | allowed:
            raise InvalidRequest(
                f"`{path}.{field}` does not go with the type `{kind}`; leave it out.", param=f"{path}.{field}"
            )
    for index, part in enumerate(item.content or ()):
        if not isinstance(part, str) and isinstance(part, ReasoningTextPart) != (kind == "reasoning"):
            param = f"{path}.content[{index}].type"
            raise InvalidRequest(f"`{param}` does not go with the type `{kind}` of the item.", param=param)


# --- messages ---


def _messages(request: ResponseRequest, items: Sequence[Item]) -> tuple[ChatMessage, ...]:
    """Raises InvalidRequest for an item that lacks something, or answers a call that nobody made."""
    return tuple(in_turns(_said(request, items), joining=("system", "assistant")))


def _said(request: ResponseRequest, items: Sequence[Item]) -> Iterator[ChatMessage]:
    """Yield a message for each item."""
    if request.instructions is not None:
        yield ChatMessage(role="system", content=request.instructions)
    called: set[str | None] = set()
    own_count = 1 if isinstance(request.input, str) else len(request.input)
    for index, item in enumerate(items, start=own_count - len(items)):
        path = f"input[{index}]"
        _check(item, path)
        if item.type == "function_call":
            called.add(item.call_id)
        elif item.type == "function_call_output" and item.call_id not in called:
            raise InvalidRequest(
                f"`{path}.call_id` names no `function_call` before it; send the call too, or the "
                "`previous_response_id` of the response that made it.",
                param=f"{path}.call_id",
            )
        yield _message(item)


def _message(item: Item) -> ChatMessage:
    match item.type:
        case "function_call":
            function = SentFunction(name=item.name or "", arguments=item.arguments or "")
            return ChatMessage(
                role="assistant", content="", tool_calls=(SentCall(id=item.call_id or "", function=function),)
            )
        case "function_call_output":
            return ChatMessage(role="tool", content=_text(item.output), tool_call_id=item.call_id)
        case "reasoning":
            reasoning = _text(item.content) or paragraphs(part.text for part in item.summary or ())
            return ChatMessage(role="assistant", content="", reasoning_content=reasoning or None)
        case _:
            role = "system" if item.role == "developer" else item.role or "user"
            return ChatMessage(role=role, content=_text(item.content))


def _text(content: str | Sequence[Part] | None) -> str:
    """Return the content as one string, parts joined as they stand."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.text for part in content)


# --- the rest of the request ---


def _response_format(request: ResponseRequest) -> ResponseFormat | None:
    asked = request.text.format if request.text else None
    if not isinstance(asked, NamedSchemaFormat):
        return asked
    return JsonSchemaFormat(
        json_schema=JsonSchema(name=asked.name, description=asked.description, schema=asked.schema, strict=asked.strict)
    )


def _tool(tool: ResponseFunction) -> FunctionTool:
    return FunctionTool(
        function=FunctionDefinition(
            name=tool.name, description=tool.description, parameters=tool.parameters, strict=tool.strict
        )
    )


def _tool_choice(request: ResponseRequest) -> ToolChoice | None:
    match request.tool_choice:
        case ChosenFunction() as chosen:
            return _named(chosen)
        case AllowedFunctions(mode=mode, tools=tools):
            return AllowedToolsChoice(allowed_tools=AllowedTools(mode=mode, tools=tuple(map(_named, tools))))
        case plain:
            return plain


def _named(chosen: ChosenFunction) -> NamedFunction:
    return NamedFunction(function=FunctionReference(name=chosen.name))


# --- errors ---

_NOT_THE_CLIENTS = r"(?<!function `)(?<!these )\b"
"""A function may have the name of a field, and `these messages` are what they are."""
_NAMES: Names = (
    (re.compile(rf"{_NOT_THE_CLIENTS}response_format(\.json_schema)?\b"), "text.format"),
    (re.compile(rf"{_NOT_THE_CLIENTS}max_completion_tokens\b"), "max_output_tokens"),
    (re.compile(rf"{_NOT_THE_CLIENTS}messages\b"), "input"),
    (re.compile(r"\btool_choice\.allowed_tools\.tools\b"), "tool_choice.tools"),
    (re.compile(r"\b(tools\[\d+\])\.function\b"), r"\1"),
)


def named(error: GatewayError) -> GatewayError:
    """Return an error about a chat request in the words of the Responses request that it was made of."""
    return renamed(error, _NAMES)
