"""Chunks are what OpenAI's clients expect of a stream."""

import json
from typing import Any

from gateway.api.sse import DONE, ChunkEncoder, event
from gateway.contracts.chat import FinishReason, Usage
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
    assert _choice(chunks.delta(_delta("Par")))["delta"] == {"role": "assistant", "content": "Par"}
    assert _choice(chunks.delta(_delta("is")))["delta"] == {"content": "is"}


def test_a_first_delta_without_text_still_has_the_role() -> None:
    assert _choice(_encoder().delta(_delta("")))["delta"] == {"role": "assistant", "content": ""}


def test_a_delta_that_says_nothing_yet_is_no_event() -> None:
    chunks = _encoder()
    chunks.delta(_delta("Par"))
    assert chunks.delta(_delta("")) == b""


def test_the_finish_reason_is_null_until_the_end() -> None:
    chunks = _encoder()
    assert _choice(chunks.delta(_delta("Paris")))["finish_reason"] is None
    last = _choice(chunks.delta(_delta("", FinishReason.LENGTH)))
    assert last["finish_reason"] == "length"
    assert last["delta"] == {}


def test_every_chunk_names_the_same_completion() -> None:
    chunks = _encoder(include_usage=True)
    usage = Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2)
    for data in (chunks.delta(_delta("Par")), chunks.delta(_delta("is", FinishReason.STOP)), chunks.usage(usage)):
        chunk = _read(data)
        assert chunk["object"] == "chat.completion.chunk"
        assert (chunk["id"], chunk["created"], chunk["model"]) == ("chatcmpl-1", 1_700_000_000, "m")


def test_usage_is_absent_unless_asked_for() -> None:
    chunks = _encoder()
    assert "usage" not in _read(chunks.delta(_delta("Par")))
    assert chunks.usage(Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2)) == b""


def test_usage_that_is_asked_for_is_null_until_a_trailer_without_choices() -> None:
    chunks = _encoder(include_usage=True)
    assert _read(chunks.delta(_delta("Par")))["usage"] is None
    trailer = _read(chunks.usage(Usage(prompt_tokens=3, completion_tokens=1, total_tokens=4)))
    assert trailer["choices"] == []
    assert trailer["usage"] == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}


def test_line_breaks_in_the_text_do_not_break_the_event() -> None:
    chunk = _choice(_encoder().delta(_delta("a\n\nb\r\u2028c")))
    assert chunk["delta"]["content"] == "a\n\nb\r\u2028c"


def test_the_end_is_what_clients_look_for() -> None:
    assert event(b"[DONE]") == DONE
