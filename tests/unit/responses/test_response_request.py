"""A Responses request is a chat request in other words."""

from typing import Any

import msgspec
import pytest

from gateway.api.body import BodyDecoder
from gateway.contracts.chat import ChatRequest
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.responses import ResponseRequest
from gateway.errors import EngineFault, InvalidRequest
from gateway.responses import chat_request, listed_items, named, sent_items

DECODER = BodyDecoder(ResponseRequest)
CHAT = BodyDecoder(ChatRequest)
USER = {"role": "user", "content": "Hello"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"a": 1}'}
GAVE = {"type": "function_call_output", "call_id": "call_1", "output": "22"}
TOOL = {"name": "f", "description": "Do it.", "parameters": {"type": "object"}, "strict": True}


def _asked(**fields: Any) -> ResponseRequest:
    return DECODER.decode(msgspec.json.encode({"model": "m", "input": "Hello", **fields}))


def _chat(**fields: Any) -> ChatRequest:
    request = _asked(**fields)
    return chat_request(request, sent_items(request))


def _messages(*items: Any, **fields: Any) -> list[dict[str, Any]]:
    return [_json(message) for message in _chat(input=items, **fields).messages]


def _json(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def test_every_option_is_chats() -> None:
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True, "description": "It."}
    asked = _chat(
        instructions="Be brief.",
        stream=True,
        stream_options={"include_obfuscation": False},
        max_output_tokens=7,
        temperature=0.5,
        top_p=0.9,
        top_logprobs=3,
        include=["message.output_text.logprobs", "reasoning.encrypted_content"],
        text={"format": {"type": "json_schema", **schema}, "verbosity": "low"},
        tools=[{"type": "function", **TOOL}],
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        reasoning={"effort": "low", "summary": "auto", "generate_summary": None},
        metadata={"a": "b"},
        user="me",
        service_tier="auto",
        prompt_cache_key="k",
        safety_identifier="s",
        client_metadata={"a": "b"},
        truncation="disabled",
        background=False,
        store=True,
        prompt=None,
    )
    chat = {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, USER],
        "stream": True,
        "max_completion_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "logprobs": True,
        "top_logprobs": 3,
        "response_format": {"type": "json_schema", "json_schema": schema},
        "tools": [{"type": "function", "function": TOOL}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
    }
    assert asked == CHAT.decode(msgspec.json.encode(chat))


@pytest.mark.parametrize("kind", ["text", "json_object"])
def test_a_form_without_a_schema_is_chats(kind: str) -> None:
    assert _json(_chat(text={"format": {"type": kind}}).response_format) == {"type": kind}


def test_allowed_tools_are_chats() -> None:
    choice = _chat(
        tool_choice={"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}
    )
    assert _json(choice.tool_choice) == {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
    }


def test_what_codex_sends_is_taken() -> None:
    history = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandboxed."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "List it."}]},
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": None},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I list."}]},
        CALL,
        GAVE,
    ]
    chat = _chat(
        instructions="You are an agent.",
        input=history,
        tools=[{"type": "function", **TOOL, "strict": False}],
        tool_choice="auto",
        parallel_tool_calls=False,
        reasoning={"effort": "medium", "summary": "auto"},
        store=False,
        stream=True,
        include=["reasoning.encrypted_content"],
        prompt_cache_key="thread",
        text={"verbosity": "low"},
        client_metadata={"installation": "1"},
    )
    assert [(message.role, message.text) for message in chat.messages] == [
        ("system", "You are an agent.\n\nSandboxed."),
        ("user", "List it."),
        ("assistant", "I list."),
        ("tool", "22"),
    ]


# --- messages ---


def test_instructions_and_the_first_system_messages_are_one() -> None:
    developer = {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]}
    assert _messages(developer, USER, {"role": "system", "content": "Now."}, instructions="Be brief.") == [
        {"role": "system", "content": "Be brief.\n\nBe kind."},
        USER,
        {"role": "system", "content": "Now."},
    ]


def test_what_one_turn_of_the_assistant_said_is_one_message() -> None:
    reasoning = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "So."}],
    }
    text = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": [], "parsed": None}],
    }
    second = CALL | {"call_id": "call_2", "parsed_arguments": {"a": 1}, "status": "completed", "id": "fc_2"}
    called, *gave, asked = _messages(reasoning, text, CALL, second, GAVE, GAVE | {"call_id": "call_2"}, USER)[0:]
    assert called["role"] == "assistant"
    assert (called["content"], called["reasoning_content"]) == ("I look.", "So.")
    assert [call["id"] for call in called["tool_calls"]] == ["call_1", "call_2"]
    assert [(message["role"], message["tool_call_id"], message["content"]) for message in gave] == [
        ("tool", "call_1", "22"),
        ("tool", "call_2", "22"),
    ]
    assert asked == USER


def test_the_summary_is_read_where_another_server_sends_no_text() -> None:
    summary = [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "xyz"}
    assert _messages(USER, reasoning)[1]["reasoning_content"] == "a\n\nb"


def test_a_refusal_is_read_as_its_text() -> None:
    refusal = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert _messages(refusal)[0]["content"] == "No."


def test_earlier_items_stand_first_and_paths_count_from_the_requests_own() -> None:
    earlier = sent_items(_asked(input=[USER, CALL]))
    request = _asked(input=[GAVE])
    assert [message.role for message in chat_request(request, (*earlier, *sent_items(request))).messages] == [
        "user",
        "assistant",
        "tool",
    ]
    wrong = _asked(input=[GAVE, GAVE | {"call_id": "call_9"}])
    with pytest.raises(InvalidRequest) as refused:
        chat_request(wrong, (*earlier, *sent_items(wrong)))
    assert refused.value.param == "input[1].call_id"


def test_items_are_listed_in_full() -> None:
    items = sent_items(_asked(input=[USER, {"role": "assistant", "content": "Hi"}, CALL, GAVE | {"id": "mine"}]))
    listed = [_json(item) for item in listed_items(items, "resp_7")]
    assert [(item["type"], item["id"], item["status"]) for item in listed] == [
        ("message", "msg_7_in0", "completed"),
        ("message", "msg_7_in1", "completed"),
        ("function_call", "fc_7_in2", "completed"),
        ("function_call_output", "mine", "completed"),
    ]
    assert listed[0]["content"] == [{"type": "input_text", "text": "Hello"}]
    assert listed[1]["content"][0]["type"] == "output_text"


# --- errors ---


@pytest.mark.parametrize(
    ("chats", "ours"),
    [
        ("response_format.json_schema.schema", "text.format.schema"),
        ("response_format", "text.format"),
        ("max_completion_tokens", "max_output_tokens"),
        ("messages", "input"),
        ("tools[3].function.parameters", "tools[3].parameters"),
        ("tool_choice.allowed_tools.tools", "tool_choice.tools"),
        ("temperature", "temperature"),
    ],
)
def test_an_error_names_the_field_as_it_is_called_here(chats: str, ours: str) -> None:
    error = named(InvalidRequest(f"`{chats}` is wrong.", code=ErrorCode.INVALID_TYPE, param=chats))
    assert (error.message, error.param, error.code) == (f"`{ours}` is wrong.", ours, ErrorCode.INVALID_TYPE)


@pytest.mark.parametrize(
    "message",
    [
        "The function `messages` is offered twice; give each its own name.",
        "`tool_choice` names the function `response_format`, which `tools` does not offer.",
        "The model's chat template makes an empty prompt of these messages.",
    ],
)
def test_what_is_no_field_keeps_its_name(message: str) -> None:
    assert named(InvalidRequest(message)).message == message


def test_an_error_that_is_not_the_requests_stays_as_it_is() -> None:
    fault = EngineFault("messages")
    assert named(fault) is fault
