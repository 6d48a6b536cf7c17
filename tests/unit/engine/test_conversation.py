"""Functions, calls and what they gave, told in words to a model whose template knows none of them."""

import pytest

from gateway.contracts.tools import CalledFunction, FunctionDefinition, FunctionTool, ToolCall
from gateway.engine.conversation import tell_tools, turns
from gateway.wire import WireMessage

TOOL = FunctionTool(function=FunctionDefinition(name="f", description="Do f, é."))
CALL = ToolCall(id="call_1", function=CalledFunction(name="f", arguments='{"a": "é"}'))
ASKED = WireMessage("user", "Do it.")
CALLED = WireMessage("assistant", "", tool_calls=(CALL,))


def _answer(text: str) -> WireMessage:
    return WireMessage("tool", text, tool_call_id="call_1", name="f")


def test_a_conversation_without_functions_is_left_as_it_is() -> None:
    messages = [WireMessage("system", "Be brief."), ASKED, WireMessage("assistant", "Done.")]
    assert tell_tools(messages, ()) == messages


def test_functions_stand_at_the_end_of_the_system_message() -> None:
    first, *rest = tell_tools([WireMessage("system", "Be brief."), ASKED], (TOOL,))
    assert first.role == "system"
    assert first.content.startswith("Be brief.\n\n# Tools")
    signature = '{"type": "function", "function": {"name": "f", "description": "Do f, é.", "parameters": '
    assert signature in first.content
    assert rest == [ASKED]


def test_without_a_system_message_functions_make_one() -> None:
    first, *rest = tell_tools([ASKED], (TOOL,))
    assert first.role == "system"
    assert first.content.startswith("# Tools")
    assert rest == [ASKED]


def test_calls_and_answers_are_told_as_the_instructions_have_them() -> None:
    told = tell_tools([ASKED, CALLED, _answer("22")], ())
    assert [message.role for message in told] == ["user", "assistant", "user"]
    assert told[1].content == '<tool_call>\n{"name": "f", "arguments": {"a": "é"}}\n</tool_call>'
    assert told[2].content == "<tool_response>\n22\n</tool_response>"


def test_answers_that_follow_one_another_share_a_message() -> None:
    told = tell_tools([ASKED, CALLED, _answer("22"), _answer("23"), ASKED], ())
    assert [message.role for message in told] == ["user", "assistant", "user", "user"]
    assert told[2].content == "<tool_response>\n22\n</tool_response>\n<tool_response>\n23\n</tool_response>"


def test_text_before_calls_is_kept() -> None:
    (told,) = tell_tools([WireMessage("assistant", "Look:", tool_calls=(CALL,))], ())
    assert told.content.startswith("Look:\n<tool_call>\n")


def test_templates_read_calls_with_values_and_answers_with_names() -> None:
    assert turns([CALLED, _answer("22")]) == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": {"a": "é"}}}],
        },
        {"role": "tool", "content": "22", "tool_call_id": "call_1", "name": "f"},
    ]


@pytest.mark.parametrize("arguments", ["not json", "[" * 100_000])
def test_arguments_that_are_no_json_stay_text(arguments: str) -> None:
    call = ToolCall(id="call_1", function=CalledFunction(name="f", arguments=arguments))
    (turn,) = turns([WireMessage("assistant", "", tool_calls=(call,))])
    assert turn["tool_calls"][0]["function"]["arguments"] == arguments


def test_earlier_reasoning_is_apart_from_the_text() -> None:
    (turn,) = turns([WireMessage("assistant", "Four.", reasoning="Two and two.")])
    assert turn == {"role": "assistant", "content": "Four.", "reasoning_content": "Two and two."}
