"""A body becomes a Struct, or an error that names the field."""

import asyncio
import json
from typing import get_args, get_type_hints

import msgspec
import pytest
from litestar.types import HTTPReceiveMessage
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

from gateway.api.body import BodyDecoder, read_body
from gateway.api.disconnect import ClientDisconnected
from gateway.contracts.chat import ChatRequest
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Criterion
from gateway.errors import InvalidRequest

_decoder = BodyDecoder(ChatRequest)
_MESSAGES = [{"role": "user", "content": "Hello"}]


def _chat(**fields: object) -> bytes:
    return json.dumps({"model": "m", "messages": _MESSAGES, **fields}).encode()


def _tool(name: str, **function: object) -> dict[str, object]:
    return {"type": "function", "function": {"name": name, **function}}


def _named(name: str) -> dict[str, object]:
    return {"type": "function", "function": {"name": name}}


def _refusal(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        _decoder.decode(body)
    return caught.value


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0, "top_p": 1, "seed": -(2**63), "max_tokens": 1, "stop": "."},
        {"temperature": 2.0, "top_p": 0.1, "seed": 2**63 - 1, "max_completion_tokens": 2**31 - 1, "n": 1},
        {"stop": ["a", "b", "c", "d"], "stream": True, "stream_options": {"include_usage": True}},
        {"stop": None, "stream": None, "max_tokens": None, "temperature": None, "seed": None, "user": "u"},
        {"metadata": {"a": "b"}, "store": False, "service_tier": "auto", "prompt_cache_key": "k"},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}]},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "refusal": "No."}]},
        {"messages": [{"role": "assistant", "content": None, "annotations": [], "audio": None, "function_call": None}]},
        {"messages": [{"role": "tool", "content": [{"type": "text", "text": "22"}], "tool_call_id": "call_1"}]},
        {"tools": [], "tool_choice": None, "parallel_tool_calls": None, "reasoning_effort": None},
        {"tools": [_tool("f" * 64, parameters={}, strict=True, description="")], "tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}, "reasoning_effort": "xhigh"},
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [_named("f")]}}},
        {"chat_template_kwargs": {"enable_thinking": False, "budget": 5}, "verbosity": "low", "safety_identifier": "s"},
        {"metadata": {"k" * 64: "x" * 512}, "stream_options": {"include_obfuscation": True}},
        {"stream_options": {"include_usage": None}, "top_p": 0},
        {field.name: None for field in msgspec.structs.fields(ChatRequest) if not field.required},
    ],
)
def test_every_value_at_its_limit_is_taken(fields: dict[str, object]) -> None:
    assert isinstance(_decoder.decode(_chat(**fields)), ChatRequest)


def test_every_parameter_that_the_official_client_has_is_known_and_may_be_null() -> None:
    parameters = get_type_hints(CompletionCreateParamsStreaming).keys() - {"model", "messages"}
    assert isinstance(_decoder.decode(_chat(**dict.fromkeys(parameters))), ChatRequest)


@pytest.mark.parametrize("name", ["reasoning_effort", "service_tier", "verbosity"])
def test_every_value_that_the_official_client_has_is_taken(name: str) -> None:
    (choices,) = (kind for kind in get_args(get_type_hints(CompletionCreateParamsStreaming)[name]) if get_args(kind))
    for value in get_args(choices):
        assert isinstance(_decoder.decode(_chat(**{name: value})), ChatRequest)


_WRONG_FIELDS: list[tuple[dict[str, object], ErrorCode, str]] = [
    ({"model": 5}, ErrorCode.INVALID_TYPE, "model"),
    ({"model": None}, ErrorCode.INVALID_TYPE, "model"),
    ({"messages": "Hello"}, ErrorCode.INVALID_TYPE, "messages"),
    ({"messages": {}}, ErrorCode.INVALID_TYPE, "messages"),
    ({"messages": []}, ErrorCode.INVALID_VALUE, "messages"),
    ({"messages": ["Hello"]}, ErrorCode.INVALID_TYPE, "messages[0]"),
    ({"messages": [{"content": "x"}]}, ErrorCode.MISSING_PARAMETER, "messages[0].role"),
    ({"messages": [{"role": 5, "content": "x"}]}, ErrorCode.INVALID_TYPE, "messages[0].role"),
    ({"messages": [{"role": "function", "content": "x", "name": "f"}]}, ErrorCode.INVALID_VALUE, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 5}]}, ErrorCode.INVALID_TYPE, "messages[0].content"),
    ({"messages": [{"role": "user", "content": []}]}, ErrorCode.INVALID_VALUE, "messages[0].content"),
    ({"messages": [{"role": "oracle", "content": "x"}]}, ErrorCode.INVALID_VALUE, "messages[0].role"),
    (
        {"messages": [*_MESSAGES, {"role": "user", "content": [{"type": "image_url"}]}]},
        ErrorCode.INVALID_VALUE,
        "messages[1].content[0].type",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
        ErrorCode.INVALID_VALUE,
        "messages[0].content[0].type",
    ),
    (
        {"messages": [{"role": "user", "content": "x", "function_call": {"name": "f"}}]},
        ErrorCode.UNKNOWN_PARAMETER,
        "messages[0].function_call",
    ),
    (
        {
            "messages": [
                {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f"}}]}
            ]
        },
        ErrorCode.MISSING_PARAMETER,
        "messages[0].tool_calls[0].function.arguments",
    ),
    ({"max_tokens": 0}, ErrorCode.INVALID_VALUE, "max_tokens"),
    ({"max_tokens": -1}, ErrorCode.INVALID_VALUE, "max_tokens"),
    ({"max_tokens": 2**31}, ErrorCode.INVALID_VALUE, "max_tokens"),
    ({"max_tokens": 10**40}, ErrorCode.INVALID_VALUE, "max_tokens"),
    ({"max_tokens": 1.5}, ErrorCode.INVALID_TYPE, "max_tokens"),
    ({"max_tokens": "1"}, ErrorCode.INVALID_TYPE, "max_tokens"),
    ({"max_completion_tokens": 0}, ErrorCode.INVALID_VALUE, "max_completion_tokens"),
    ({"max_completion_tokens": 2**31}, ErrorCode.INVALID_VALUE, "max_completion_tokens"),
    ({"temperature": -0.1}, ErrorCode.INVALID_VALUE, "temperature"),
    ({"temperature": 2.1}, ErrorCode.INVALID_VALUE, "temperature"),
    ({"temperature": True}, ErrorCode.INVALID_TYPE, "temperature"),
    ({"top_p": -0.1}, ErrorCode.INVALID_VALUE, "top_p"),
    ({"top_p": 1.1}, ErrorCode.INVALID_VALUE, "top_p"),
    ({"stop": 5}, ErrorCode.INVALID_TYPE, "stop"),
    ({"stop": ""}, ErrorCode.INVALID_VALUE, "stop"),
    ({"stop": ["a", ""]}, ErrorCode.INVALID_VALUE, "stop[1]"),
    ({"stop": ["a", 5]}, ErrorCode.INVALID_TYPE, "stop[1]"),
    ({"stop": ["a", "b", "c", "d", "e"]}, ErrorCode.INVALID_VALUE, "stop"),
    ({"seed": 2**63}, ErrorCode.INVALID_VALUE, "seed"),
    ({"seed": -(2**63) - 1}, ErrorCode.INVALID_VALUE, "seed"),
    ({"seed": "7"}, ErrorCode.INVALID_TYPE, "seed"),
    ({"stream": 1}, ErrorCode.INVALID_TYPE, "stream"),
    ({"stream_options": {"usage": True}}, ErrorCode.UNKNOWN_PARAMETER, "stream_options.usage"),
    ({"functions": []}, ErrorCode.UNKNOWN_PARAMETER, "functions"),
    ({"modalities": ["text"]}, ErrorCode.UNKNOWN_PARAMETER, "modalities"),
    ({"functions": [{"name": "f"}]}, ErrorCode.UNKNOWN_PARAMETER, "functions"),
    ({"audio": {"voice": "x"}}, ErrorCode.UNKNOWN_PARAMETER, "audio"),
    ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, ErrorCode.INVALID_VALUE, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, ErrorCode.MISSING_PARAMETER, "tools[0].function"),
    ({"tools": [{"type": "function", "function": {}}]}, ErrorCode.MISSING_PARAMETER, "tools[0].function.name"),
    ({"tools": [_tool("with blank")]}, ErrorCode.INVALID_VALUE, "tools[0].function.name"),
    ({"tools": [_tool("f" * 65)]}, ErrorCode.INVALID_VALUE, "tools[0].function.name"),
    ({"tools": [_tool("f")] * 129}, ErrorCode.INVALID_VALUE, "tools"),
    ({"tools": [_tool("f", parameters=[])]}, ErrorCode.INVALID_TYPE, "tools[0].function.parameters"),
    ({"tool_choice": "always"}, ErrorCode.INVALID_VALUE, "tool_choice"),
    ({"tool_choice": {"type": "custom", "custom": {"name": "f"}}}, ErrorCode.INVALID_VALUE, "tool_choice.type"),
    ({"tool_choice": {"type": "function"}}, ErrorCode.MISSING_PARAMETER, "tool_choice.function"),
    ({"parallel_tool_calls": "no"}, ErrorCode.INVALID_TYPE, "parallel_tool_calls"),
    ({"reasoning_effort": "extreme"}, ErrorCode.INVALID_VALUE, "reasoning_effort"),
    ({"chat_template_kwargs": {"a": [1]}}, ErrorCode.INVALID_TYPE, "chat_template_kwargs[...]"),
    ({"metadata": {"a": 1}}, ErrorCode.INVALID_TYPE, "metadata[...]"),
    ({"metadata": {"a": "x" * 513}}, ErrorCode.INVALID_VALUE, "metadata[...]"),
    ({"metadata": {str(n): "" for n in range(17)}}, ErrorCode.INVALID_VALUE, "metadata"),
    ({"user": 5}, ErrorCode.INVALID_TYPE, "user"),
    ({"store": "yes"}, ErrorCode.INVALID_TYPE, "store"),
    ({"service_tier": "gold"}, ErrorCode.INVALID_VALUE, "service_tier"),
    ({"prompt_cache_key": 5}, ErrorCode.INVALID_TYPE, "prompt_cache_key"),
    ({"safety_identifier": 5}, ErrorCode.INVALID_TYPE, "safety_identifier"),
    ({"verbosity": "loud"}, ErrorCode.INVALID_VALUE, "verbosity"),
    ({"stream_options": {"include_obfuscation": 1}}, ErrorCode.INVALID_TYPE, "stream_options.include_obfuscation"),
]


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    _WRONG_FIELDS,
)
def test_a_wrong_field_is_refused_by_its_path(fields: dict[str, object], code: ErrorCode, param: str) -> None:
    error = _refusal(_chat(**fields))
    assert (error.code, error.param) == (code, param)
    assert f"`{param}`" in error.message


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (b"", ErrorCode.INVALID_JSON, "truncated"),
        (b"{", ErrorCode.INVALID_JSON, "truncated"),
        (b"hello", ErrorCode.INVALID_JSON, "byte 0"),
        (b'{"model": "m",}', ErrorCode.INVALID_JSON, "byte 14"),
        (b'{"model": "m", "messages": [], "temperature": NaN}', ErrorCode.INVALID_VALUE, "messages"),
        (_chat(temperature=float("nan")), ErrorCode.INVALID_JSON, "malformed"),
        (_chat(temperature=float("inf")), ErrorCode.INVALID_JSON, "malformed"),
        (_chat().replace(b'"m"', b'"m", "temperature": 1e999'), ErrorCode.INVALID_VALUE, "temperature"),
        (b'{"model": "\xff"}', ErrorCode.INVALID_JSON, "not UTF-8 at byte 11"),
        (b'{"model": "\\ud800", "user": "u"}', ErrorCode.INVALID_JSON, "surrogate"),
        (b"\xef\xbb\xbf{}", ErrorCode.INVALID_JSON, "byte 0"),
        (b"[" * 100_000, ErrorCode.INVALID_TYPE, "The body must be an object, not an array."),
        (b'{"metadata": ' + b'{"a": ' * 100_000, ErrorCode.INVALID_TYPE, "metadata"),
        (b'{"x": ' + b"[" * 100_000, ErrorCode.UNKNOWN_PARAMETER, "`x`"),
        (b"[]", ErrorCode.INVALID_TYPE, "The body must be an object, not an array."),
        (b"null", ErrorCode.INVALID_TYPE, "The body must be an object, not null."),
        (b"{}", ErrorCode.MISSING_PARAMETER, "`model` is missing."),
    ],
)
def test_a_body_that_is_no_request_is_refused_with_the_place(body: bytes, code: ErrorCode, said: str) -> None:
    error = _refusal(body)
    assert error.code == code
    assert said in error.message


def test_json_nested_beyond_the_parser_is_refused() -> None:
    class Loose(msgspec.Struct):
        value: object

    with pytest.raises(InvalidRequest, match="nested too deeply") as caught:
        BodyDecoder(Loose).decode(b'{"value": ' + b"[" * 100_000)
    assert caught.value.code == ErrorCode.INVALID_JSON


def test_a_value_out_of_a_closed_set_is_refused_with_the_set() -> None:
    role = _refusal(_chat(messages=[{"role": "oracle", "content": "x"}]))
    roles = "'assistant' or 'developer' or 'system' or 'tool' or 'user'"
    assert role.message == f"`messages[0].role` must be {roles}, not 'oracle'."
    part = _refusal(_chat(messages=[{"role": "user", "content": [{"type": "image_url"}]}]))
    assert part.message == "`messages[0].content[0].type` must be 'text' or 'refusal', not 'image_url'."
    with pytest.raises(InvalidRequest, match="`rule` must be 'at_least' or 'at_most' or 'no_worse_than', not 'never'"):
        BodyDecoder(Criterion).decode(b'{"name": "a", "metric": "accuracy", "rule": "never", "bound": 1}')


def test_an_error_repeats_only_the_start_of_what_it_quotes() -> None:
    assert len(_refusal(_chat(**{"x" * 10_000: 1})).message) < 300
    assert len(_refusal(_chat(messages=[{"role": "x" * 10_000, "content": ""}])).message) < 300


class _Sender:
    """A client that sends these parts, one at a time, and then leaves."""

    def __init__(self, *parts: bytes, complete: bool = True) -> None:
        self._parts = list(parts)
        self._complete = complete

    async def __call__(self) -> HTTPReceiveMessage:
        if not self._parts:
            return {"type": "http.disconnect"}
        body = self._parts.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(self._parts) or not self._complete}

    @property
    def unread(self) -> int:
        return len(self._parts)


@pytest.mark.anyio
async def test_a_body_in_parts_is_read_whole() -> None:
    assert await read_body(_Sender(b"ab", b"", b"cd"), limit_bytes=4, timeout_s=5) == b"abcd"


@pytest.mark.anyio
async def test_a_body_over_the_limit_is_read_to_its_end_and_refused() -> None:
    sender = _Sender(b"abc", b"de", b"f")
    with pytest.raises(InvalidRequest, match="larger than 4 bytes") as caught:
        await read_body(sender, limit_bytes=4, timeout_s=5)
    assert caught.value.code == ErrorCode.REQUEST_TOO_LARGE
    assert sender.unread == 0


@pytest.mark.anyio
async def test_a_body_without_end_is_not_read_for_ever() -> None:
    sender = _Sender(*[b"abcd"] * 100)
    with pytest.raises(InvalidRequest, match="larger than 4 bytes"):
        await read_body(sender, limit_bytes=4, timeout_s=5)
    assert sender.unread > 80


@pytest.mark.anyio
async def test_a_client_that_leaves_while_it_sends_is_no_request() -> None:
    with pytest.raises(ClientDisconnected):
        await read_body(_Sender(b"abc", complete=False), limit_bytes=4, timeout_s=5)


@pytest.mark.anyio
async def test_a_client_that_sends_too_slowly_is_refused() -> None:
    async def never() -> HTTPReceiveMessage:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(InvalidRequest, match=r"did not arrive within 0\.01 s"):
        await read_body(never, limit_bytes=4, timeout_s=0.01)
