"""Find the tool calls that a model wrote into its answer.

Understood are `<tool_call>{...}</tool_call>` blocks, as Hermes and Qwen write them, and an answer (or its one fenced
block) that is a JSON object or array of calls: `{"name": ..., "arguments": {...}}`, also with `parameters` for the
arguments, with OpenAI's `{"function": {"name": ..., "arguments": "..."}}` around it, or under a `tool_calls` key.
"""

import re

import msgspec

from canary.grading.json_text import NotJson, as_array, as_object, read_json

_BLOCK = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)


class Call(msgspec.Struct, frozen=True):
    name: str
    arguments: dict[str, object]


class BadCall(ValueError):
    """The answer opens a tool call that cannot be read; says why in a few words."""


def find_calls(answer: str) -> tuple[Call, ...]:
    """Return the calls in order; prose, and JSON that is no call, are none. Raises BadCall."""
    if "<tool_call>" in answer:
        blocks = _BLOCK.findall(answer)
        if len(blocks) != answer.count("<tool_call>"):
            raise BadCall("a <tool_call> has no end")
        return tuple(_read_block(block) for block in blocks)
    try:
        value = read_json(answer)
    except NotJson:
        return ()
    wrapper = as_object(value)
    if wrapper is not None and "tool_calls" in wrapper:
        value = wrapper["tool_calls"]
    array = as_array(value)
    functions = [_function_of(entry) for entry in ([value] if array is None else array)]
    return tuple(_read_call(function) for function in functions if function is not None) if all(functions) else ()


def _read_block(block: str) -> Call:
    try:
        value = read_json(block)
    except NotJson as error:
        raise BadCall(f"a <tool_call> holds {error}") from error
    function = _function_of(value)
    if function is None:
        raise BadCall("a <tool_call> names no function")
    return _read_call(function)


def _function_of(value: object) -> dict[str, object] | None:
    """Return what holds the name and the arguments, or None where the value is no call."""
    entries = as_object(value) or {}
    function = as_object(entries.get("function", entries)) or {}
    return function if isinstance(function.get("name"), str) else None


def _read_call(function: dict[str, object]) -> Call:
    name = str(function["name"])
    arguments: object = function.get("arguments", function.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = read_json(arguments)
        except NotJson as error:
            raise BadCall(f"the arguments of {name} are {error}") from error
    named = as_object(arguments)
    if named is None:
        raise BadCall(f"the arguments of {name} are no JSON object")
    return Call(name, named)
