from collections.abc import Sequence

import msgspec

from gateway.contracts.chat import FinishReason
from gateway.contracts.tools import FunctionDefinition, FunctionTool
from gateway.engine.reasoning import ReasoningSplitter, ThinkTags
from gateway.engine.reply import Reply
from gateway.engine.runner import RowToken
from gateway.engine.scripted_tokenizer import END, ScriptedDetokenizer
from gateway.engine.tool_calls import CallScanner
from gateway.engine.tool_syntax import JSON_SYNTAX
from gateway.wire import TokenDelta, ToolUse, merged


def _reply(stops: Sequence[str] = ()) -> Reply:
    return Reply("r", ScriptedDetokenizer(), stops)


def test_the_end_of_sequence_token_is_counted_and_is_no_text() -> None:
    reply = _reply()
    assert reply.add(RowToken(1, ord("a"), None)).text == "a"
    assert reply.add(RowToken(1, END, FinishReason.STOP)).text == ""
    assert (reply.completion_tokens, reply.finish_reason) == (2, FinishReason.STOP)


def test_a_reply_that_is_cut_by_length_gives_its_last_token_and_what_was_held() -> None:
    reply = _reply(["bc"])
    assert reply.add(RowToken(1, ord("a"), None)).text == "a"
    assert reply.add(RowToken(1, ord("b"), FinishReason.LENGTH)).text == "b"
    assert reply.finish_reason is FinishReason.LENGTH


def test_a_stop_string_ends_the_reply_before_the_runner_does() -> None:
    reply = _reply(["bc"])
    assert [reply.add(RowToken(1, byte, None)).text for byte in b"abc"] == ["a", "", ""]
    assert (reply.completion_tokens, reply.finish_reason) == (3, FinishReason.STOP)


def test_the_last_delta_says_which_stop_string_came() -> None:
    reply = _reply(["x", "bc", "c"])
    assert [reply.add(RowToken(1, byte, None)).stop_string for byte in b"abc"] == [None, None, "bc"]
    assert _all(_reply(["x"]), "abc", FinishReason.STOP).stop_string is None


def test_a_stop_string_cuts_a_document_as_a_limit_does() -> None:
    reply = Reply("r", ScriptedDetokenizer(), ["}"], has_form=True)
    assert "".join(reply.add(RowToken(1, byte, None)).text for byte in b'{"a": 1}') == '{"a": 1'
    assert reply.finish_reason is FinishReason.LENGTH


def test_a_stop_string_completed_by_the_last_token_is_a_stop_and_no_length() -> None:
    reply = _reply(["b"])
    assert reply.add(RowToken(1, ord("b"), FinishReason.LENGTH)).text == ""
    assert reply.finish_reason is FinishReason.STOP


def test_half_a_character_at_the_end_is_shown_as_a_replacement() -> None:
    reply = _reply()
    assert reply.add(RowToken(1, "é".encode()[0], FinishReason.LENGTH)).text == "\N{REPLACEMENT CHARACTER}"


TAGS = ThinkTags(start="<think>", end="</think>")
USE = ToolUse(tools=(FunctionTool(function=FunctionDefinition(name="f")),), demanded=False, parallel=True)
CALL = '<tool_call>{"name": "f", "arguments": {"a": "STOP"}}</tool_call>'


def _all(reply: Reply, text: str, end: FinishReason) -> TokenDelta:
    """Return all that the reply lets out of the text, which ends with that reason unless the reply ends before."""
    deltas: list[TokenDelta] = []
    tokens = [RowToken(1, byte, None) for byte in text.encode()]
    last = RowToken(1, END, end) if end is FinishReason.STOP else RowToken(1, ord(" "), end)
    for token in [*tokens, last]:
        deltas.append(reply.add(token))
        if reply.finish_reason:
            break
    return merged(deltas)


def _parting(stops: Sequence[str] = (), *, parallel: bool = True) -> Reply:
    scanner = CallScanner(JSON_SYNTAX, msgspec.structs.replace(USE, parallel=parallel))
    return Reply("r", ScriptedDetokenizer(), stops, splitter=ReasoningSplitter(TAGS, inside=False), scanner=scanner)


def test_reasoning_text_and_calls_are_parted_and_the_end_is_a_call() -> None:
    said = _all(_parting(), f"<think>why</think>Look:\n{CALL}", FinishReason.STOP)
    assert (said.reasoning, said.text) == ("why", "Look:")
    assert [call.function.name for call in said.tool_calls] == ["f"]
    assert said.finish_reason is FinishReason.TOOL_CALLS
    assert 0 < said.reasoning_tokens < said.completion_tokens


def test_an_answer_that_is_cut_ends_with_length_though_it_called() -> None:
    said = _all(_parting(), f"{CALL}<tool_call>", FinishReason.LENGTH)
    assert len(said.tool_calls) == 1
    assert said.finish_reason is FinishReason.LENGTH


def test_stop_strings_are_looked_for_in_the_text_alone() -> None:
    said = _all(_parting(["STOP"]), f"<think>STOP</think>{CALL} so STOP it", FinishReason.STOP)
    assert (said.reasoning, said.text) == ("STOP", "so ")
    assert said.finish_reason is FinishReason.TOOL_CALLS
    without_call = _all(_parting(["STOP"]), "so STOP it", FinishReason.STOP)
    assert (without_call.text, without_call.finish_reason) == ("so ", FinishReason.STOP)


def test_the_arguments_of_a_call_may_speak_of_think_tags() -> None:
    call = '<tool_call>{"name": "f", "arguments": {"a": "<think>b</think> <th"}}</tool_call>'
    said = _all(_parting(), f"<think>why</think>{call}<think>more</think>so", FinishReason.STOP)
    (made,) = said.tool_calls
    assert made.function.arguments == '{"a": "<think>b</think> <th"}'
    assert (said.reasoning, said.text) == ("whymore", "so")


def test_one_call_that_is_the_only_one_allowed_ends_the_row() -> None:
    reply = _parting(parallel=False)
    said = _all(reply, CALL + CALL, FinishReason.STOP)
    assert len(said.tool_calls) == 1
    assert said.completion_tokens == len(CALL)
    assert said.finish_reason is FinishReason.TOOL_CALLS


def test_text_that_only_looked_like_a_call_is_let_out_at_the_end() -> None:
    said = _all(_parting(), "a <tool", FinishReason.STOP)
    assert (said.text, said.finish_reason) == ("a <tool", FinishReason.STOP)
