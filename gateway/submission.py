"""Make of a request and its Variant what the engine runs; a request that contradicts itself ends here."""

from collections.abc import Iterator, Sequence

from gateway.contracts.chat import RESERVED_TEMPLATE_ARGUMENTS, ChatRequest
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.messages import ChatMessage
from gateway.contracts.tools import AllowedToolsChoice, FunctionTool, NamedFunction
from gateway.contracts.variants import Variant
from gateway.errors import InvalidRequest
from gateway.sampling import sampling_of, top_logprobs_of
from gateway.schema_depth import MAX_SCHEMA_DEPTH, is_deeper
from gateway.structured import grammar_of
from gateway.wire import Submit, ToolUse, WireMessage


def submit_of(request_id: str, variant: Variant, request: ChatRequest) -> Submit:
    """Apply the Variant's prompt, defaults and limits to a request. Raises InvalidRequest."""
    messages = _messages(request.messages)
    system = variant.prompt.system
    if system is not None and messages[0].role != "system":
        messages.insert(0, WireMessage("system", system))
    asked = request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens
    if asked is not None:
        field = "max_tokens" if request.max_completion_tokens is None else "max_completion_tokens"
        check_completion_tokens(asked, variant, field=field)
    return Submit(
        request_id=request_id,
        messages=tuple(messages),
        template_arguments=_template_arguments(variant, request),
        tools=tool_use(request),
        max_completion_tokens=asked,
        completion_limit=variant.limits.max_completion_tokens,
        stop=stop_strings(request.stop),
        sampling=sampling_of(request, variant.sampling),
        grammar=grammar_of(request),
        top_logprobs=top_logprobs_of(request),
    )


def stop_strings(stop: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else stop or ()


def check_completion_tokens(asked: int, variant: Variant, *, field: str) -> None:
    """Raise InvalidRequest where a request asks for more tokens than the Variant ever gives."""
    most = min(variant.limits.max_completion_tokens or variant.engine.context_length, variant.engine.context_length)
    if asked > most:
        raise InvalidRequest(f"`{field}` is {asked}; this model gives {most} tokens at most.", param=field)


# --- messages ---


def _messages(messages: Sequence[ChatMessage]) -> list[WireMessage]:
    """Return the messages with text for content; a function's answer gets the name of the function that was called."""
    called: dict[str, str] = {}
    converted: list[WireMessage] = []
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        _check_role(message, path)
        called |= {call.id: call.function.name for call in message.tool_calls or ()}
        if message.tool_call_id is not None and message.tool_call_id not in called:
            raise InvalidRequest(
                f"`{path}.tool_call_id` names no call of an assistant message before it.", param=f"{path}.tool_call_id"
            )
        converted.append(
            WireMessage(
                role="system" if message.role == "developer" else message.role,
                content=message.text,
                reasoning=message.reasoning_content,
                tool_calls=tuple(sent.call for sent in message.tool_calls or ()),
                tool_call_id=message.tool_call_id,
                name=called[message.tool_call_id] if message.tool_call_id is not None else None,
            )
        )
    return converted


def _check_role(message: ChatMessage, path: str) -> None:
    """Raise InvalidRequest where a field is missing that the role needs, or stands that another role has."""
    is_assistant, is_tool = message.role == "assistant", message.role == "tool"
    if message.content is None and not (is_assistant and (message.tool_calls or message.refusal is not None)):
        raise InvalidRequest(
            f"`{path}.content` is missing; only an assistant message with `tool_calls` may leave it out.",
            code=ErrorCode.MISSING_PARAMETER,
            param=f"{path}.content",
        )
    if is_tool and message.tool_call_id is None:
        raise InvalidRequest(
            f"`{path}.tool_call_id` is missing; it names the call that this message answers.",
            code=ErrorCode.MISSING_PARAMETER,
            param=f"{path}.tool_call_id",
        )
    for field, value, allowed in (
        ("tool_calls", message.tool_calls, is_assistant),
        ("reasoning_content", message.reasoning_content, is_assistant),
        ("tool_call_id", message.tool_call_id, is_tool),
    ):
        if value is not None and not allowed:
            raise InvalidRequest(
                f"`{path}.{field}` does not go with the role `{message.role}`; leave it out.", param=f"{path}.{field}"
            )


# --- template arguments ---


def _template_arguments(variant: Variant, request: ChatRequest) -> dict[str, bool | int | float | str]:
    """Return the Variant's, then what `reasoning_effort` says, then the request's own; the last wins."""
    arguments = dict(variant.prompt.template_arguments)
    if (effort := request.reasoning_effort) is not None:
        arguments |= {"enable_thinking": effort.thinks, "reasoning_effort": effort.value}
    for name, value in (request.chat_template_kwargs or {}).items():
        if name in RESERVED_TEMPLATE_ARGUMENTS:
            param = f"chat_template_kwargs.{name}"
            raise InvalidRequest(f"`{param}` is not for a request to set; leave it out.", param=param)
        arguments[name] = value
    return arguments


# --- tools ---


def tool_use(request: ChatRequest) -> ToolUse | None:
    """Return what the model may or must call; None where it may call nothing.

    The functions that `tool_choice` leaves out are not shown to the model either.
    """
    tools = request.tools or ()
    for index, tool in enumerate(tools):
        _check_function(tool, index, tools[:index])
    match request.tool_choice:
        case "none":
            return None
        case None | "auto":
            demanded, chosen = False, tools
        case "required":
            demanded, chosen = True, tools
        case NamedFunction() as named:
            demanded, chosen = True, tuple(_chosen(tools, [named], "tool_choice"))
        case AllowedToolsChoice(allowed_tools=allowed):
            demanded = allowed.mode == "required"
            chosen = tuple(_chosen(tools, allowed.tools, "tool_choice.allowed_tools.tools"))
    if demanded and not chosen:
        raise InvalidRequest("`tool_choice` demands a call, and `tools` offers nothing to call.", param="tool_choice")
    if not chosen:
        return None
    return ToolUse(tools=chosen, demanded=demanded, parallel=request.parallel_tool_calls is not False)


def _check_function(tool: FunctionTool, index: int, before: Sequence[FunctionTool]) -> None:
    path = f"tools[{index}].function"
    name, parameters = tool.function.name, tool.function.parameters
    if any(other.function.name == name for other in before):
        raise InvalidRequest(f"The function `{name}` is offered twice; give each its own name.", param=f"{path}.name")
    if parameters is None:
        return
    if parameters.get("type", "object") != "object":
        raise InvalidRequest(
            f"`{path}.parameters` must be the schema of an object: arguments have names.", param=f"{path}.parameters"
        )
    if is_deeper(parameters, MAX_SCHEMA_DEPTH):
        raise InvalidRequest(
            f"`{path}.parameters` is nested more than {MAX_SCHEMA_DEPTH} levels deep.", param=f"{path}.parameters"
        )


def _chosen(tools: Sequence[FunctionTool], named: Sequence[NamedFunction], param: str) -> Iterator[FunctionTool]:
    """Yield the tools that are named, in the order in which they are offered."""
    names = {one.function.name for one in named}
    for missing in sorted(names - {tool.function.name for tool in tools}):
        raise InvalidRequest(
            f"`tool_choice` names the function `{missing}`, which `tools` does not offer.", param=param
        )
    yield from (tool for tool in tools if tool.function.name in names)
