from collections.abc import Sequence

from gateway.contracts.chat import FinishReason
from gateway.engine.reply import Reply
from gateway.engine.runner import RowToken
from gateway.engine.scripted_tokenizer import END, ScriptedDetokenizer


def _reply(stops: Sequence[str] = ()) -> Reply:
    return Reply("r", ScriptedDetokenizer(), stops)


def test_the_end_of_sequence_token_is_counted_and_is_no_text() -> None:
    reply = _reply()
    assert reply.add(RowToken(1, ord("a"), None)) == "a"
    assert reply.add(RowToken(1, END, FinishReason.STOP)) == ""
    assert (reply.completion_tokens, reply.finish_reason) == (2, FinishReason.STOP)


def test_a_reply_that_is_cut_by_length_gives_its_last_token_and_what_was_held() -> None:
    reply = _reply(["bc"])
    assert reply.add(RowToken(1, ord("a"), None)) == "a"
    assert reply.add(RowToken(1, ord("b"), FinishReason.LENGTH)) == "b"
    assert reply.finish_reason is FinishReason.LENGTH


def test_a_stop_string_ends_the_reply_before_the_runner_does() -> None:
    reply = _reply(["bc"])
    assert [reply.add(RowToken(1, byte, None)) for byte in b"abc"] == ["a", "", ""]
    assert (reply.completion_tokens, reply.finish_reason) == (3, FinishReason.STOP)


def test_a_stop_string_completed_by_the_last_token_is_a_stop_and_no_length() -> None:
    reply = _reply(["b"])
    assert reply.add(RowToken(1, ord("b"), FinishReason.LENGTH)) == ""
    assert reply.finish_reason is FinishReason.STOP


def test_half_a_character_at_the_end_is_shown_as_a_replacement() -> None:
    reply = _reply()
    assert reply.add(RowToken(1, "é".encode()[0], FinishReason.LENGTH)) == "\N{REPLACEMENT CHARACTER}"
