"""How a model writes the calls of functions, and what is made of what it wrote."""

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from gateway.contracts.tools import CalledFunction, FunctionTool, ToolCall

Parser = Callable[[str, list[dict[str, Any]]], Any]
"""Takes what stands between the marks, and the functions as OpenAI writes them; gives one call or a list of them, each
a dictionary with `name` and `arguments`. It may raise anything and give anything."""

_MAX_ID_LENGTH = 256


class ToolSyntax(msgspec.Struct, frozen=True, kw_only=True):
    start: str
    """Begins a call, or several."""
    end: str
    """Empty where a call ends with the answer."""
    parse: Parser
    writes_json: bool
    """Between the marks stands `{"name": ..., "arguments": {...}}`."""
    in_template: bool
    """The model's own template shows the functions; without it, `gateway/engine/conversation.py` does."""
    id_length: int | None = None
    """Letters and digits of a call's id, where the template insists."""


def parse_json_call(text: str, _tools: list[dict[str, Any]]) -> Any:
    return json.loads(text)


class _HeldCall(msgspec.Struct, frozen=True):
    name: str
    arguments: msgspec.Raw


_decode_held = msgspec.json.Decoder(_HeldCall).decode


def parse_held_call(text: str, _tools: list[dict[str, Any]]) -> Any:
    """Read a call that a grammar let out, its arguments as they are written: JSON's numbers may be beyond Python's."""
    call = _decode_held(text)
    return {"name": call.name, "arguments": bytes(call.arguments).decode()}


JSON_SYNTAX = ToolSyntax(
    start="<tool_call>", end="</tool_call>", parse=parse_json_call, writes_json=True, in_template=False
)
"""What models are told that have no syntax of their own; it is the one most open models were trained on."""


def described(tools: Sequence[FunctionTool]) -> list[dict[str, Any]]:
    """Return the functions as templates and parsers expect them: with a schema each, and no nulls."""
    return [{"type": "function", "function": _function(tool)} for tool in tools]


def _function(tool: FunctionTool) -> dict[str, Any]:
    function = tool.function
    about: dict[str, Any] = {"name": function.name}
    if function.description is not None:
        about["description"] = function.description
    return about | {"parameters": function.parameters or {"type": "object", "properties": {}}}


def read_calls(syntax: ToolSyntax, text: str, tools: Sequence[FunctionTool]) -> tuple[ToolCall, ...] | None:
    """Return the calls that a model wrote, or None where it is no call of these functions: then it is text.

    A call counts only if it can be sent: a known name, and arguments that are a JSON object.
    """
    try:
        parsed = syntax.parse(text, described(tools))
        items = cast("list[Any]", parsed) if isinstance(parsed, list) else [parsed]
        calls = tuple(_call(item, {tool.function.name for tool in tools}, syntax.id_length) for item in items)
    except Exception:  # noqa: BLE001 - a model's text in the hands of a stranger's parser: whatever it raises, it is no call
        return None
    return calls or None


def _call(item: Any, names: set[str], id_length: int | None) -> ToolCall:
    """Raises whatever a value that is no call makes this raise."""
    name, arguments = item["name"], item.get("arguments", {})
    if isinstance(arguments, str):
        text, arguments = arguments, json.loads(arguments, parse_int=str, parse_float=str, parse_constant=_refuse)
    else:
        text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    if name not in names or not isinstance(arguments, dict):
        raise ValueError(name)
    text.encode()  # half a surrogate pair is no text
    return ToolCall(id=_call_id(item.get("id"), id_length), function=CalledFunction(name=name, arguments=text))


def _refuse(constant: str) -> None:
    """Python's reader takes NaN and the infinities, which JSON does not have."""
    raise ValueError(constant)


def _call_id(own: Any, length: int | None) -> str:
    """Return the model's own id where its template counts them, else a new one."""
    if isinstance(own, str) and 0 < len(own) <= _MAX_ID_LENGTH and own.isascii():
        return own
    return uuid.uuid4().hex[:length] if length else f"call_{uuid.uuid4().hex[:24]}"
