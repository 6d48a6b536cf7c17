"""A request in Anthropic's form is a chat request in other words."""

from typing import Any

import msgspec
import pytest

from gateway.anthropic import chat_request, ending_of, named, tool_use_id
from gateway.api.body import BodyDecoder
from gateway.contracts.anthropic import CountTokensRequest, MessageRequest
from gateway.contracts.chat import ChatRequest, FinishReason
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.tools import CalledFunction, ToolCall
from gateway.errors import EngineFault, InvalidRequest
from gateway.wire import TokenDelta

DECODER = BodyDecoder(MessageRequest)
COUNTED = BodyDecoder(CountTokensRequest)
CHAT = BodyDecoder(ChatRequest)
USER = {"role": "user", "content": "Hello"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
CALLED = {"role": "assistant", "content": [CALL]}
GAVE = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "22"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
TOLD = {"name": "f", "description": "Do it.", "strict": True}
TOOL = {**TOLD, "input_schema": SCHEMA}
FUNCTION = {"type": "function", "function": {**TOLD, "parameters": SCHEMA}}


def _chat(**fields: Any) -> ChatRequest:
    asked = {"model": "m", "max_tokens": 5, "messages": [USER], **fields}
    return chat_request(DECODER.decode(msgspec.json.encode(asked)))


def _messages(*messages: Any, **fields: Any) -> list[dict[str, Any]]:
    return [
        msgspec.json.decode(msgspec.json.encode(message)) for message in _chat(messages=messages, **fields).messages
    ]


def test_every_option_is_chats() -> None:
    asked = _chat(
        stream=True,
        stop_sequences=["END"],
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        tools=[TOOL],
        thinking={"type": "enabled", "budget_tokens": 1024},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
    )
    expected = {
        "model": "m",
        "max_tokens": 5,
        "messages": [USER],
        "stream": True,
        "stop": ["END"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "tools": [FUNCTION],
        "response_format": {"type": "json_schema", "json_schema": {"name": "output", "schema": SCHEMA}},
        "chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "high"},
    }
    assert asked == CHAT.decode(msgspec.json.encode(expected))


def test_what_is_counted_is_what_would_be_asked() -> None:
    asked = {"model": "m", "messages": [USER], "system": "Be brief.", "tools": [TOOL], "thinking": {"type": "adaptive"}}
    counted = chat_request(COUNTED.decode(msgspec.json.encode(asked)))
    assert msgspec.structs.replace(counted, max_tokens=5) == _chat(**asked)


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        (None, None, None),
        ({"type": "auto"}, None, True),
        ({"type": "auto", "disable_parallel_tool_use": True}, None, False),
        ({"type": "any"}, "required", True),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}, True),
        ({"type": "none"}, "none", None),
    ],
)
def test_who_may_be_called_is_chats(choice: Any, expected: Any, parallel: bool | None) -> None:
    chat = _chat(tools=[TOOL], tool_choice=choice)
    assert msgspec.json.decode(msgspec.json.encode(chat.tool_choice)) == expected
    assert chat.parallel_tool_calls is parallel


@pytest.mark.parametrize(
    ("kind", "thinks"), [("enabled", True), ("adaptive", True), ("between_tools", True), ("disabled", False)]
)
def test_the_template_is_told_whether_to_think(kind: str, *, thinks: bool) -> None:
    assert _chat(thinking={"type": kind}).chat_template_kwargs == {"enable_thinking": thinks}


def test_an_effort_alone_does_not_ask_for_reasoning() -> None:
    chat = _chat(output_config={"effort": "max"})
    assert chat.chat_template_kwargs == {"reasoning_effort": "max"}
    assert chat.reasoning_effort is None


def test_the_system_stands_first_and_takes_the_systems_messages_behind_it() -> None:
    blocks = [{"type": "text", "text": "One.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    two = {"role": "system", "content": "Two."}
    assert _messages(two, USER, system=blocks)[0] == {"role": "system", "content": "One.\n\nTwo."}
    for nothing in ("", [], None):
        assert _messages(USER, system=nothing) == [USER]


def test_one_sides_blocks_and_turns_are_one_message() -> None:
    texts = [{"type": "text", "text": text} for text in ("a", "", "b")]
    assert _messages({"role": "user", "content": texts}, USER) == [{"role": "user", "content": "a\n\nb\n\nHello"}]


def test_an_assistants_blocks_are_its_reasoning_its_text_and_its_calls() -> None:
    said = [
        {"type": "thinking", "thinking": "why", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "Let me look.", "citations": None},
        {**CALL, "caller": {"type": "direct"}},
        {**CALL, "id": "toolu_2", "input": {"a": "日本", "b": 12345678901234567890123}},
    ]
    _, assistant, *_ = _messages(USER, {"role": "assistant", "content": said}, USER)
    assert assistant["content"] == "Let me look."
    assert assistant["reasoning_content"] == "why"
    assert [(call["id"], call["function"]["arguments"]) for call in assistant["tool_calls"]] == [
        ("1", '{"a":1}'),
        ("2", '{"a":"日本","b":12345678901234567890123}'),
    ]


def test_what_calls_gave_stands_in_order_before_what_the_user_says() -> None:
    parts = [{"type": "text", "text": text} for text in ("2", "3")]
    content = [
        GAVE,
        {**GAVE, "content": parts, "is_error": True},
        {**GAVE, "content": None},
        {"type": "text", "text": "So?"},
    ]
    told = _messages(USER, CALLED, {"role": "user", "content": content})[2:]
    assert [(message["role"], message["content"]) for message in told] == [
        ("tool", "22"),
        ("tool", "Error: 2\n\n3"),
        ("tool", ""),
        ("user", "So?"),
    ]


@pytest.mark.parametrize("own", ["call_0a", "functions.f:0", "ABCDEFGHI"])
def test_a_call_comes_back_by_the_id_that_it_had(own: str) -> None:
    told = tool_use_id(ToolCall(id=own, function=CalledFunction(name="f", arguments="{}")))
    assert told == f"toolu_{own}"
    called = {"role": "assistant", "content": [{**CALL, "id": told}]}
    _, assistant, tool = _messages(USER, called, {"role": "user", "content": [{**GAVE, "tool_use_id": told}]})
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"] == own


def test_an_id_that_is_its_prefix_stays_one() -> None:
    called = {"role": "assistant", "content": [{**CALL, "id": "toolu_"}]}
    assert _messages(USER, called, USER)[1]["tool_calls"][0]["id"] == "toolu_"


def test_an_answer_without_a_word_is_sent_back_as_it_came() -> None:
    assert _messages(USER, {"role": "assistant", "content": []}, USER)[1] == {"role": "assistant", "content": ""}


def test_many_blocks_of_one_side_are_joined_once() -> None:
    texts = [{"type": "text", "text": "a"} for _ in range(20_000)]
    (message,) = _messages({"role": "user", "content": texts})
    assert len(message["content"]) == 3 * 20_000 - 2


@pytest.mark.parametrize(
    ("error", "message", "param"),
    [
        (
            InvalidRequest("`tools[1].function.parameters` is odd.", param="tools[1].function.parameters"),
            "`tools[1].input_schema` is odd.",
            "tools[1].input_schema",
        ),
        (
            InvalidRequest("`tools[1].function.name` is odd.", param="tools[1].function.name"),
            "`tools[1].name` is odd.",
            "tools[1].name",
        ),
        (
            InvalidRequest("`response_format.json_schema.schema` is odd.", param="response_format"),
            "`output_config.format.schema` is odd.",
            "output_config.format",
        ),
        (InvalidRequest("`max_completion_tokens` is odd."), "`max_tokens` is odd.", None),
    ],
)
def test_an_error_about_chats_field_names_it_as_it_is_called_here(
    error: InvalidRequest, message: str, param: str | None
) -> None:
    told = named(error)
    assert (told.message, told.param, told.code) == (message, param, ErrorCode.INVALID_VALUE)


def test_an_error_that_is_not_the_requests_is_told_as_it_is() -> None:
    error = EngineFault("a response_format of its own")
    assert named(error) is error


@pytest.mark.parametrize(
    ("reason", "stop", "expected"),
    [
        (FinishReason.STOP, None, ("end_turn", None)),
        (FinishReason.STOP, "END", ("stop_sequence", "END")),
        (FinishReason.LENGTH, None, ("max_tokens", None)),
        (FinishReason.LENGTH, "END", ("stop_sequence", "END")),  # of a document, which chat says was cut
        (FinishReason.TOOL_CALLS, None, ("tool_use", None)),
        (FinishReason.TOOL_CALLS, "END", ("tool_use", None)),
    ],
)
def test_each_end_has_its_reason(reason: FinishReason, stop: str | None, expected: tuple[str, str | None]) -> None:
    said = TokenDelta(request_id="1", text="", completion_tokens=1, finish_reason=reason, stop_string=stop)
    ending = ending_of(said)
    assert (ending.stop_reason, ending.stop_sequence) == expected
