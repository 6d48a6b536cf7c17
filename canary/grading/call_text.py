"""Find the tool calls that a model wrote into its answer.

Understood are `<tool_call>{...}</tool_call>` blocks, as Hermes and Qwen write them, and an answer, or fenced blocks in
it, that hold a JSON object or array of calls: `{"name": ..., "arguments": {...}}`, also with `parameters` for the
arguments, with OpenAI's `{"function": {"name": ..., "arguments": "..."}}` around it, or under a `tool_calls` key; or
that hold Python's `[name(argument="value")]`, with or without the brackets, as BFCL asks for.
"""

import ast
import warnings

import msgspec

from canary.grading.json_text import NotJson, as_array, as_object, read_json
from canary.programs.fences import fenced_blocks, without_thoughts

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_MAX_PYTHON_CHARS = 8192
"""Of what is given to Python's parser, whose own limits are of no help against text that nobody has read."""


class Call(msgspec.Struct, frozen=True):
    name: str
    arguments: dict[str, object]


class BadCall(ValueError):
    """The answer opens a tool call that cannot be read; says why in a few words."""


def find_calls(answer: str) -> tuple[Call, ...]:
    """Return the calls in order; prose, and JSON that is no call, are none. Raises BadCall."""
    said = without_thoughts(answer)
    if _OPEN in said:
        return tuple(_read_block(rest) for rest in said.split(_OPEN)[1:])
    # A call in a block is one, whatever is said around it: else a model that calls where no tool helps seems not to.
    blocks = [block for _, block in fenced_blocks(said) if block is not None]
    return tuple(call for text in blocks or [said] for call in _calls_in(text))


def _calls_in(text: str) -> tuple[Call, ...]:
    try:
        value = read_json(text)
    except NotJson:
        return _python_calls(text)
    wrapper = as_object(value)
    if wrapper is not None and "tool_calls" in wrapper:
        value = wrapper["tool_calls"]
    array = as_array(value)
    functions = [_function_of(entry) for entry in ([value] if array is None else array)]
    return tuple(_read_call(function) for function in functions if function is not None) if all(functions) else ()


def _python_calls(text: str) -> tuple[Call, ...]:
    """Return the calls that a Python expression consists of; what is none, or computes anything, holds none."""
    if len(text) > _MAX_PYTHON_CHARS:
        return ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes: the text is the model's, and stays out of every log
            tree = ast.parse(text.strip(), mode="eval").body
        nodes = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
        return tuple(_python_call(node) for node in nodes)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return ()


def _python_call(node: ast.expr) -> Call:
    match node:
        case ast.Call(func=ast.Name() | ast.Attribute(), args=[]):
            named = {keyword.arg or "**": ast.literal_eval(keyword.value) for keyword in node.keywords}
            return Call(ast.unparse(node.func), named)
        case _:
            raise ValueError("no call with named arguments")


def _read_block(rest: str) -> Call:
    """Read what follows a `<tool_call>`."""
    block, end, _ = rest.partition(_CLOSE)
    if not end:
        raise BadCall("a <tool_call> has no end")
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
