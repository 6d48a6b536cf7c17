"""Events of a stream whatever the engine says at once; over a server they are tested in test_api_messages.py."""

import json
from typing import Any

import pytest

from gateway.api.form import Head
from gateway.api.message_form import MessageChunks, MessageForm
from gateway.contracts.anthropic import MessageRequest, SentMessage, Thinking
from gateway.contracts.chat import FinishReason, PromptTokensDetails, Usage
from gateway.contracts.tools import CalledFunction, ToolCall
from gateway.errors import EngineCrashed, EngineFault, GatewayError, NotReady, QueueFull
from gateway.wire import TokenDelta

HEAD = Head(id="msg_1", created=1, model="m", system_fingerprint="f", prompt_tokens=10)
USAGE = Usage(
    prompt_tokens=10, completion_tokens=7, total_tokens=17, prompt_tokens_details=PromptTokensDetails(cached_tokens=4)
)
CALL = ToolCall(id="call_1", function=CalledFunction(name="f", arguments='{"a": 1}'))


def _form(thinking: Thinking | None = None) -> MessageForm:
    messages = (SentMessage(role="user", content="Hello"),)
    return MessageForm(MessageRequest(model="m", max_tokens=1, messages=messages, thinking=thinking))


def _said(text: str = "", **fields: Any) -> TokenDelta:
    fields.setdefault("finish_reason", None)
    return TokenDelta(request_id="1", text=text, completion_tokens=2, cached_tokens=4, **fields)


def _read(data: bytes) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for block in data.decode().split("\n\n")[:-1]:
        name, line = block.split("\n")
        events.append(json.loads(line.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def _run(chunks: MessageChunks, *said: TokenDelta) -> list[dict[str, Any]]:
    return _read(b"".join(chunks.delta(0, one) for one in said) + chunks.end(USAGE))


def _told(events: list[dict[str, Any]]) -> list[str]:
    """Return the events in short, without the first and the last two, which are the message's own."""
    assert [events[0]["type"], events[-2]["type"], events[-1]["type"]] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]
    short: list[str] = []
    for event in events[1:-2]:
        index = event["index"]
        match event["type"]:
            case "content_block_start":
                short.append(f"{index} {event['content_block']['type']}")
            case "content_block_delta":
                kind = event["delta"].pop("type")
                (value,) = event["delta"].values()
                short.append(f"{index} {kind} {value}")
            case _:
                short.append(f"{index} stop")
    return short


def test_nothing_is_sent_before_the_first_delta_and_the_beginning_once() -> None:
    chunks = _form().chunks(HEAD)
    (start,) = _read(chunks.delta(0, _said("")))
    assert start["message"] == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 6,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
            "output_tokens": 2,
            "output_tokens_details": {"thinking_tokens": 0},
        },
    }
    assert [event["type"] for event in _read(chunks.delta(0, _said("a")))] == [
        "content_block_start",
        "content_block_delta",
    ]
    assert [event["type"] for event in _read(chunks.delta(0, _said("b")))] == ["content_block_delta"]
    assert chunks.delta(0, _said("")) == b""


def test_the_end_says_why_and_what_was_used() -> None:
    *_, end, stop = _run(_form().chunks(HEAD), _said("a"), _said(finish_reason=FinishReason.STOP, stop_string="END"))
    assert end["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    assert (end["usage"]["input_tokens"], end["usage"]["cache_read_input_tokens"]) == (6, 4)
    assert end["usage"]["output_tokens"] == 7
    assert stop == {"type": "message_stop"}


def test_all_at_once_is_told_as_one_after_another() -> None:
    at_once = _said("text", reasoning="thought", tool_calls=(CALL, CALL), finish_reason=FinishReason.TOOL_CALLS)
    in_turn = [
        _said(reasoning="thought"),
        _said("text"),
        _said(tool_calls=(CALL,)),
        _said(tool_calls=(CALL,)),
        _said(finish_reason=FinishReason.TOOL_CALLS),
    ]
    told = _told(_run(_form().chunks(HEAD), at_once))
    assert told == [
        "0 thinking",
        "0 thinking_delta thought",
        "0 signature_delta unsigned",
        "0 stop",
        "1 text",
        "1 text_delta text",
        "1 stop",
        "2 tool_use",
        '2 input_json_delta {"a": 1}',
        "2 stop",
        "3 tool_use",
        '3 input_json_delta {"a": 1}',
        "3 stop",
    ]
    assert _told(_run(_form().chunks(HEAD), *in_turn)) == told


def test_what_is_said_after_a_call_is_a_block_of_its_own() -> None:
    events = _run(_form().chunks(HEAD), _said("a"), _said(tool_calls=(CALL,)), _said("b"), _said(reasoning="c"))
    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert starts == ["text", "tool_use", "text", "thinking"]


def test_an_answer_without_a_word_has_no_block() -> None:
    assert _told(_run(_form().chunks(HEAD), _said(finish_reason=FinishReason.STOP))) == []


def test_reasoning_that_is_not_to_be_shown_is_a_block_without_its_text() -> None:
    form = _form(Thinking(type="enabled", display="omitted"))
    said = _said("text", reasoning="thought", finish_reason=FinishReason.STOP)
    events = _run(form.chunks(HEAD), said)
    assert _told(events)[:3] == ["0 thinking", "0 signature_delta unsigned", "0 stop"]
    whole = form.whole(HEAD, {0: said}, USAGE)
    assert "thought" not in f"{events}{whole}"
    assert [type(block).__name__ for block in whole.content] == ["ThinkingBlock", "TextBlock"]


def test_an_answer_without_an_end_is_an_error() -> None:
    with pytest.raises(EngineFault):
        _form().whole(HEAD, {0: _said("a")}, USAGE)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EngineCrashed("a"), "api_error"),
        (NotReady("a"), "overloaded_error"),
        (QueueFull("a"), "rate_limit_error"),
        (GatewayError("a"), "api_error"),
    ],
)
@pytest.mark.parametrize("said", ["", "Hi"])
def test_what_broke_off_ends_in_one_error(error: GatewayError, kind: str, said: str) -> None:
    chunks = _form().chunks(HEAD)
    data = chunks.delta(0, _said(said)) if said else b""  # else a comment has opened the stream
    *before, last = _read(data + chunks.failed(error))
    assert last == {"type": "error", "error": {"type": kind, "message": "a"}}
    kinds = [event["type"] for event in before]
    assert kinds == (["message_start", "content_block_start", "content_block_delta"] if said else [])
