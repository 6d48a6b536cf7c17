"""What a request and its Variant make together, and what is refused because it contradicts itself."""

from typing import Any

import msgspec
import pytest

from gateway.contracts.chat import ChatRequest
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.variants import Limits, PromptSpec, Variant
from gateway.errors import InvalidRequest
from gateway.submission import submit_of
from gateway.wire import Submit, WireMessage
from tests.support.engine_client import SCRIPTED, engine_spec

VARIANT = Variant(name="tutor", engine=engine_spec(SCRIPTED / "tutor"))
USER = {"role": "user", "content": "Hello"}
CALLED: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
ANSWER = {"role": "tool", "content": "22", "tool_call_id": "call_1"}


def _tool(name: str, **function: object) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


def _submit(variant: Variant = VARIANT, **fields: Any) -> Submit:
    request = msgspec.convert({"model": "m", "messages": [USER], **fields}, ChatRequest)
    return submit_of("1", variant, request)


def _refusal(**fields: Any) -> tuple[ErrorCode, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        _submit(**fields)
    return caught.value.code, caught.value.param


# --- messages ---


def test_a_developer_message_is_a_system_message() -> None:
    assert _submit(messages=[{"role": "developer", "content": "Be brief."}, USER]).messages == (
        WireMessage("system", "Be brief."),
        WireMessage("user", "Hello"),
    )


@pytest.mark.parametrize("role", ["system", "developer"])
def test_the_variants_system_prompt_gives_way_to_the_requests(role: str) -> None:
    variant = msgspec.structs.replace(VARIANT, prompt=PromptSpec(system="I am a tutor."))
    assert _submit(variant).messages[0] == WireMessage("system", "I am a tutor.")
    own = _submit(variant, messages=[{"role": role, "content": "Be brief."}, USER])
    assert own.messages[0] == WireMessage("system", "Be brief.")


def test_parts_are_joined_and_a_refusal_is_read_as_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}]
    assert _submit(messages=[{"role": "assistant", "content": parts}, USER]).messages[0].content == "ab"


def test_an_answer_gets_the_name_of_the_function_that_was_called() -> None:
    answered = _submit(messages=[USER, CALLED, ANSWER]).messages[2]
    assert answered == WireMessage("tool", "22", tool_call_id="call_1", name="f")


def test_what_the_official_client_adds_to_its_own_message_has_no_effect() -> None:
    call = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "f", "arguments": "{}", "parsed_arguments": {"a": 1}},
    }
    echoed = {**CALLED, "refusal": None, "annotations": None, "audio": None, "parsed": None, "tool_calls": [call]}
    assert _submit(messages=[USER, echoed, ANSWER]) == _submit(messages=[USER, CALLED, ANSWER])


_ILL_FORMED: list[tuple[list[Any], ErrorCode, str]] = [
    ([{"role": "user"}], ErrorCode.MISSING_PARAMETER, "messages[0].content"),
    ([{"role": "user", "content": None}], ErrorCode.MISSING_PARAMETER, "messages[0].content"),
    ([USER, {"role": "assistant"}], ErrorCode.MISSING_PARAMETER, "messages[1].content"),
    ([USER, {"role": "assistant", "tool_calls": []}], ErrorCode.MISSING_PARAMETER, "messages[1].content"),
    ([{"role": "tool", "content": "x"}], ErrorCode.MISSING_PARAMETER, "messages[0].tool_call_id"),
    ([ANSWER], ErrorCode.INVALID_VALUE, "messages[0].tool_call_id"),
    ([USER, ANSWER, CALLED], ErrorCode.INVALID_VALUE, "messages[1].tool_call_id"),
    ([{**USER, "tool_calls": []}], ErrorCode.INVALID_VALUE, "messages[0].tool_calls"),
    ([{**USER, "tool_call_id": "x"}], ErrorCode.INVALID_VALUE, "messages[0].tool_call_id"),
    ([{**USER, "reasoning_content": "x"}], ErrorCode.INVALID_VALUE, "messages[0].reasoning_content"),
]


@pytest.mark.parametrize(("messages", "code", "param"), _ILL_FORMED)
def test_a_field_that_does_not_go_with_the_role_is_refused(messages: list[Any], code: ErrorCode, param: str) -> None:
    assert _refusal(messages=messages) == (code, param)


# --- template arguments ---


def test_the_request_wins_over_the_effort_and_that_over_the_variant() -> None:
    variant = msgspec.structs.replace(
        VARIANT, prompt=PromptSpec(template_arguments={"enable_thinking": True, "tone": "kind"})
    )
    assert _submit(variant).template_arguments == {"enable_thinking": True, "tone": "kind"}
    low = _submit(variant, reasoning_effort="minimal").template_arguments
    assert low == {"enable_thinking": False, "reasoning_effort": "minimal", "tone": "kind"}
    own = _submit(variant, reasoning_effort="minimal", chat_template_kwargs={"enable_thinking": True})
    assert own.template_arguments == {"enable_thinking": True, "reasoning_effort": "minimal", "tone": "kind"}


def test_what_renders_a_template_is_not_for_a_request_to_set() -> None:
    assert _refusal(chat_template_kwargs={"chat_template": "{{ 1 }}"}) == (
        ErrorCode.INVALID_VALUE,
        "chat_template_kwargs.chat_template",
    )


# --- tools ---


@pytest.mark.parametrize("fields", [{}, {"tools": None}, {"tools": []}, {"tools": [_tool("f")], "tool_choice": "none"}])
def test_nothing_may_be_called_where_nothing_is_offered(fields: dict[str, Any]) -> None:
    assert _submit(**fields).tools is None


@pytest.mark.parametrize(
    ("choice", "names", "demanded"),
    [
        (None, ["f", "g"], False),
        ("auto", ["f", "g"], False),
        ("required", ["f", "g"], True),
        (_tool("g"), ["g"], True),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [_tool("g")]}}, ["g"], False),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [_tool("g")]}}, ["g"], True),
    ],
)
def test_the_choice_says_what_may_and_what_must_be_called(choice: object, names: list[str], demanded: bool) -> None:
    use = _submit(tools=[_tool("f"), _tool("g")], tool_choice=choice).tools
    assert use is not None
    assert [tool.function.name for tool in use.tools] == names
    assert use.demanded is demanded


@pytest.mark.parametrize(("parallel", "expected"), [(None, True), (True, True), (False, False)])
def test_calls_are_parallel_unless_said_otherwise(parallel: bool | None, expected: bool) -> None:
    use = _submit(tools=[_tool("f")], parallel_tool_calls=parallel).tools
    assert use is not None
    assert use.parallel is expected


def _nested(depth: int) -> dict[str, object]:
    return {"type": "object", "properties": {"a": _nested(depth - 2)}} if depth > 1 else {"type": "object"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [_tool("f")], "tool_choice": _tool("g")}, "tool_choice"),
        ({"tool_choice": _tool("g")}, "tool_choice"),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [_tool("g")]}}},
            "tool_choice.allowed_tools.tools",
        ),
        ({"tools": [_tool("f"), _tool("f")]}, "tools[1].function.name"),
        ({"tools": [_tool("f", parameters={"type": "array"})]}, "tools[0].function.parameters"),
        ({"tools": [_tool("f", parameters=_nested(49))]}, "tools[0].function.parameters"),
    ],
)
def test_tools_that_contradict_themselves_are_refused(fields: dict[str, Any], param: str) -> None:
    assert _refusal(**fields) == (ErrorCode.INVALID_VALUE, param)


def test_a_schema_within_the_limit_of_depth_is_taken() -> None:
    assert _submit(tools=[_tool("f", parameters=_nested(47))]).tools is not None


# --- limits ---


def test_max_completion_tokens_comes_before_max_tokens() -> None:
    assert _submit(max_tokens=5).max_completion_tokens == 5
    assert _submit(max_tokens=5, max_completion_tokens=6).max_completion_tokens == 6


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_more_than_the_variant_gives_is_refused_by_the_name_that_was_used(field: str) -> None:
    variant = msgspec.structs.replace(VARIANT, limits=Limits(max_completion_tokens=10))
    assert _submit(variant, **{field: 10}).max_completion_tokens == 10
    with pytest.raises(InvalidRequest, match=f"`{field}` is 11.*10 tokens at most") as refused:
        _submit(variant, **{field: 11})
    assert refused.value.param == field


def test_more_than_the_context_is_refused_before_it_is_sent_on() -> None:
    most = VARIANT.engine.context_length
    assert _submit(max_tokens=most).max_completion_tokens == most
    with pytest.raises(InvalidRequest) as refused:
        _submit(max_tokens=most + 1)
    assert (refused.value.code, refused.value.param) == (ErrorCode.INVALID_VALUE, "max_tokens")
