"""Events of a stream whatever the engine says at once; over a server they are tested in test_api_responses.py."""

import json
from typing import Any

import msgspec
import pytest

from gateway.api.form import Head
from gateway.api.response_form import ResponseChunks, ResponseForm
from gateway.contracts.chat import FinishReason, Usage
from gateway.contracts.responses import Response, ResponseRequest
from gateway.contracts.tools import CalledFunction, ToolCall
from gateway.errors import CutBySwap, EngineCrashed, EngineFault, GatewayError, InvalidRequest, QueueFull
from gateway.wire import TokenDelta

HEAD = Head(id="resp_1", created=1, model="m", system_fingerprint="f")
USAGE = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
CALL = ToolCall(id="call_1", function=CalledFunction(name="f", arguments="{}"))


def _form(kept: list[Response] | None = None) -> ResponseForm:
    return ResponseForm(ResponseRequest(model="m", input="Hello"), None if kept is None else kept.append)


def _said(text: str = "", **fields: Any) -> TokenDelta:
    fields.setdefault("finish_reason", None)
    return TokenDelta(request_id="1", text=text, completion_tokens=1, **fields)


def _read(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(block.split("data: ", 1)[1]) for block in data.decode().split("\n\n")[:-1]]


def _kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def _texts(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (item["type"], item["arguments"] if item["type"] == "function_call" else item["content"][0]["text"])
        for item in events[-1]["response"]["output"]
    ]


def _run(chunks: ResponseChunks, *said: TokenDelta) -> list[dict[str, Any]]:
    return _read(b"".join(chunks.delta(0, one) for one in said) + chunks.end(USAGE))


def test_nothing_is_sent_before_the_first_delta_and_the_beginning_once() -> None:
    chunks = _form().chunks(HEAD)
    assert _kinds(_read(chunks.delta(0, _said("")))) == ["created", "in_progress"]
    assert _kinds(_read(chunks.delta(0, _said("a")))) == [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
    ]
    assert _kinds(_read(chunks.delta(0, _said("b")))) == ["output_text.delta"]
    assert chunks.delta(0, _said("")) == b""


def test_all_at_once_is_told_as_one_after_another() -> None:
    at_once = _said("text", reasoning="thought", tool_calls=(CALL,), finish_reason=FinishReason.TOOL_CALLS)
    events = _run(_form().chunks(HEAD), at_once)
    assert _texts(events) == [("reasoning", "thought"), ("message", "text"), ("function_call", "{}")]
    in_turn = [
        _said(reasoning="thou"),
        _said(reasoning="ght"),
        _said("te"),
        _said("xt"),
        _said(tool_calls=(CALL,)),
        _said(finish_reason=FinishReason.TOOL_CALLS),
    ]
    assert _run(_form().chunks(HEAD), *in_turn)[-1]["response"] == events[-1]["response"]


def test_what_is_said_after_a_call_is_an_item_of_its_own() -> None:
    events = _run(
        _form().chunks(HEAD),
        _said("a"),
        _said(tool_calls=(CALL,)),
        _said("b"),
        _said(reasoning="c", finish_reason=FinishReason.STOP),
    )
    assert _texts(events) == [("message", "a"), ("function_call", "{}"), ("message", "b"), ("reasoning", "c")]
    ids = [item["id"] for item in events[-1]["response"]["output"]]
    assert len(set(ids)) == len(ids)
    added = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    assert added == [0, 1, 2, 3]


def test_a_complete_answer_of_reasoning_alone_has_an_empty_message() -> None:
    events = _run(_form().chunks(HEAD), _said(reasoning="thought", finish_reason=FinishReason.STOP))
    assert _texts(events) == [("reasoning", "thought"), ("message", "")]


def test_reasoning_that_is_cut_off_has_no_message() -> None:
    events = _run(_form().chunks(HEAD), _said(reasoning="thou", finish_reason=FinishReason.LENGTH))
    assert _texts(events) == [("reasoning", "thou")]
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.LENGTH])
def test_what_has_ended_is_kept_once(reason: FinishReason) -> None:
    kept: list[Response] = []
    events = _run(_form(kept).chunks(HEAD), _said("a", finish_reason=reason))
    assert [json.loads(msgspec.json.encode(response)) for response in kept] == [events[-1]["response"]]
    assert kept[0].store
    whole = _form(kept).whole(HEAD, {0: _said("a", finish_reason=reason)}, USAGE)
    assert kept == [whole, whole]


def test_an_answer_without_an_end_is_an_error_and_is_not_kept() -> None:
    kept: list[Response] = []
    with pytest.raises(EngineFault):
        _form(kept).whole(HEAD, {0: _said("a")}, USAGE)
    assert kept == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineCrashed("a"), "server_error"),
        (CutBySwap("a"), "server_error"),
        (QueueFull("a"), "rate_limit_exceeded"),
        (InvalidRequest("a", param="input"), "invalid_prompt"),
        (GatewayError("a"), "server_error"),
    ],
)
@pytest.mark.parametrize("said", ["", "Hi"])
def test_what_broke_off_fails_once_with_what_was_said_and_is_not_kept(
    error: GatewayError, code: str, said: str
) -> None:
    kept: list[Response] = []
    chunks = _form(kept).chunks(HEAD)
    data = chunks.delta(0, _said(said)) if said else b""  # else a comment has opened the stream
    events = _read(data + chunks.failed(error))
    assert _kinds(events)[:2] == ["created", "in_progress"]
    assert _kinds(events).count("failed") == 1
    assert events[-1]["response"]["error"] == {
        "code": code,
        "message": "a",
        "param": error.param,
        "type": error.code,
    }
    assert _texts(events) == ([("message", "Hi")] if said else [])
    assert kept == []
