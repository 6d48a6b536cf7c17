"""A conversation as a chat template takes it, and, for templates that know no functions, with these told as text."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from gateway.contracts.tools import FunctionTool, ToolCall
from gateway.engine.tool_syntax import JSON_SYNTAX, described
from gateway.wire import WireMessage

_INSTRUCTIONS = """\
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{signatures}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""
"""The words of Hermes and Qwen, which most open models that call functions have seen."""


def turns(messages: Sequence[WireMessage], *, id_length: int | None = None) -> list[dict[str, Any]]:
    """Return the messages as the dictionaries that chat templates read; arguments are values there, and not JSON.

    Where the template insists on a length of calls' ids, others, which a client may have from another model, are
    replaced, alike in the call and in its answer.
    """
    return [_turn(message, id_length) for message in messages]


def tell_tools(messages: Sequence[WireMessage], tools: Sequence[FunctionTool]) -> list[WireMessage]:
    """Return the conversation in words that any chat template takes.

    The functions stand at the end of the system message, earlier calls in the assistant's text, and what they gave in
    a user's message, where answers that follow one another share one: templates may insist that roles alternate.
    """
    told: list[WireMessage] = []
    for message in messages:
        if message.role != "tool":
            told.append(WireMessage(message.role, _with_calls(message)))
            continue
        response = f"<tool_response>\n{message.content}\n</tool_response>"
        if told and told[-1].role == "user" and told[-1].content.endswith("</tool_response>"):
            response = f"{told.pop().content}\n{response}"
        told.append(WireMessage("user", response))
    if not tools:
        return told
    signatures = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in described(tools))
    instructions = _INSTRUCTIONS.format(signatures=signatures)
    if told[0].role == "system":
        return [WireMessage("system", f"{told[0].content}\n\n{instructions}".lstrip()), *told[1:]]
    return [WireMessage("system", instructions), *told]


def _turn(message: WireMessage, id_length: int | None) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning is not None:
        turn["reasoning_content"] = message.reasoning
    if message.tool_calls:
        turn["tool_calls"] = [
            {"id": _fitting(call.id, id_length), "type": "function", "function": _function(call)}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        turn |= {"tool_call_id": _fitting(message.tool_call_id, id_length), "name": message.name}
    return turn


def _fitting(call_id: str, length: int | None) -> str:
    if length is None or (len(call_id) == length and call_id.isascii() and call_id.isalnum()):
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:length]


def _function(call: ToolCall) -> dict[str, Any]:
    return {"name": call.function.name, "arguments": _arguments(call.function.arguments)}


def _arguments(text: str) -> Any:
    """Return the value that the JSON says; a client may send back what is none, and then it stays text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _with_calls(message: WireMessage) -> str:
    """Return the message's text and its calls as the instructions have them."""
    called = [
        f"{JSON_SYNTAX.start}\n{json.dumps(_function(call), ensure_ascii=False)}\n{JSON_SYNTAX.end}"
        for call in message.tool_calls
    ]
    return "\n".join([message.content, *called] if message.content else called)
