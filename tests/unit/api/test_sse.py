"""Chunks are what OpenAI's clients expect of a stream."""

import json
from typing import Any

import msgspec
import pytest

from gateway.api.sse import DONE, ChunkEncoder, event
from gateway.contracts.chat import FinishReason, Usage
from gateway.contracts.tools import CalledFunction, ToolCall
from gateway.wire import TokenDelta


def _encoder(*, include_usage: bool = False) -> ChunkEncoder:
    return ChunkEncoder(
        completion_id="chatcmpl-1",
        created=1_700_000_000,
        model="m",
        system_fingerprint="f",
        include_usage=include_usage,
    )


def _delta(text: str, finish_reason: FinishReason | None = None) -> TokenDelta:
    return TokenDelta(request_id="chatcmpl-1", text=text, completion_tokens=1, finish_reason=finish_reason)


def _read(data: bytes) -> dict[str, Any]:
    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    assert data.count(b"\n") == 2
    return json.loads(data[6:])


def _choice(data: bytes) -> dict[str, Any]:
    return _read(data)["choices"][0]


def test_the_first_delta_has_the_role_and_no_later_one() -> None:
    chunks = _encoder()
    assert _choice(chunks.delta(0, _delta("Par")))["delta"] == {"role": "assistant", "content": "Par"}
    assert _choice(chunks.delta(0, _delta("is")))["delta"] == {"content": "is"}


def test_a_first_delta_without_text_still_has_the_role() -> None:
    assert _choice(_encoder().delta(0, _delta("")))["delta"] == {"role": "assistant", "content": ""}


@pytest.mark.parametrize("include_usage", [False, True])
def test_whatever_the_names_and_the_text_an_event_is_the_chunk_that_it_stands_for(*, include_usage: bool) -> None:
    awkward = 'a"choices":[{b\\"choices\\":[\n\u2028日'
    chunks = ChunkEncoder(
        completion_id=awkward, created=1, model=awkward, system_fingerprint=awkward, include_usage=include_usage
    )
    chunks.delta(0, _delta("first"))
    chunk = _read(chunks.delta(0, _delta(awkward)))
    usage = {"usage": None} if include_usage else {}
    choice = {"index": 0, "delta": {"content": awkward}, "logprobs": None, "finish_reason": None}
    assert (
        chunk
        == {
            "id": awkward,
            "object": "chat.completion.chunk",
            "created": 1,
            "model": awkward,
            "system_fingerprint": awkward,
            "choices": [choice],
        }
        | usage
    )


def test_a_delta_that_says_nothing_yet_is_no_event() -> None:
    chunks = _encoder()
    chunks.delta(0, _delta("Par"))
    assert chunks.delta(0, _delta("")) == b""


def test_the_finish_reason_is_null_until_the_end() -> None:
    chunks = _encoder()
    assert _choice(chunks.delta(0, _delta("Paris")))["finish_reason"] is None
    last = _choice(chunks.delta(0, _delta("", FinishReason.LENGTH)))
    assert last["finish_reason"] == "length"
    assert last["delta"] == {}


def test_every_chunk_names_the_same_completion() -> None:
    chunks = _encoder(include_usage=True)
    usage = Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2)
    data = chunks.delta(0, _delta("Par")) + chunks.delta(0, _delta("is", FinishReason.STOP)) + chunks.end(usage)
    for one in data.removesuffix(DONE).split(b"\n\n")[:-1]:
        chunk = _read(one + b"\n\n")
        assert chunk["object"] == "chat.completion.chunk"
        assert (chunk["id"], chunk["created"], chunk["model"]) == ("chatcmpl-1", 1_700_000_000, "m")


def test_usage_is_absent_unless_asked_for() -> None:
    chunks = _encoder()
    assert "usage" not in _read(chunks.delta(0, _delta("Par")))
    assert chunks.end(Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2)) == DONE


def test_usage_that_is_asked_for_is_null_until_a_trailer_without_choices() -> None:
    chunks = _encoder(include_usage=True)
    assert _read(chunks.delta(0, _delta("Par")))["usage"] is None
    trailer = _read(chunks.end(Usage(prompt_tokens=3, completion_tokens=1, total_tokens=4)).removesuffix(DONE))
    assert trailer["choices"] == []
    assert trailer["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 1,
        "total_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def test_line_breaks_in_the_text_do_not_break_the_event() -> None:
    chunk = _choice(_encoder().delta(0, _delta("a\n\nb\r\u2028c")))
    assert chunk["delta"]["content"] == "a\n\nb\r\u2028c"


def test_the_end_is_what_clients_look_for() -> None:
    assert event(b"[DONE]") == DONE


def _events(data: bytes) -> list[dict[str, Any]]:
    return [_choice(one + b"\n\n") for one in data.split(b"\n\n") if one]


def _call(name: str) -> ToolCall:
    return ToolCall(id=f"call_{name}", function=CalledFunction(name=name, arguments="{}"))


def _said(**parts: Any) -> TokenDelta:
    return msgspec.structs.replace(_delta(""), **parts)


def test_reasoning_text_calls_and_the_end_are_chunks_of_their_own_in_that_order() -> None:
    said = _said(text="so", reasoning="hm", tool_calls=(_call("f"), _call("g")), finish_reason=FinishReason.TOOL_CALLS)
    events = _events(_encoder().delta(0, said))
    assert [event["delta"] for event in events] == [
        {"role": "assistant", "content": None, "reasoning_content": "hm"},
        {"content": "so"},
        {
            "tool_calls": [
                {"type": "function", "index": 0, "id": "call_f", "function": {"name": "f", "arguments": "{}"}}
            ]
        },
        {
            "tool_calls": [
                {"type": "function", "index": 1, "id": "call_g", "function": {"name": "g", "arguments": "{}"}}
            ]
        },
        {},
    ]
    assert [event["finish_reason"] for event in events] == [None, None, None, None, "tool_calls"]


def test_calls_of_one_choice_are_numbered_through_all_its_deltas() -> None:
    chunks = _encoder()
    numbers = [
        event["delta"]["tool_calls"][0]["index"]
        for index in (0, 0, 1)
        for event in _events(chunks.delta(index, _said(tool_calls=(_call("f"),))))
    ]
    assert numbers == [0, 1, 0]


def test_the_first_chunk_of_a_call_has_null_for_content() -> None:
    (event,) = _events(_encoder().delta(0, _said(tool_calls=(_call("f"),))))
    assert event["delta"]["role"] == "assistant"
    assert event["delta"]["content"] is None


def test_the_first_chunk_of_each_choice_has_the_role() -> None:
    chunks = _encoder()
    roles = [_choice(chunks.delta(index, _delta("x")))["delta"].get("role") for index in (0, 1, 0, 1)]
    assert roles == ["assistant", "assistant", None, None]
