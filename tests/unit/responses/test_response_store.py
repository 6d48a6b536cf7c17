"""What is kept of responses, for whom and how long; its clock is the test's."""

import itertools
from typing import Any

import msgspec
import pytest

from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.responses import Item, Response, TextOptions
from gateway.errors import InvalidRequest, NotFound
from gateway.response_store import ResponseStore
from gateway.responses import said_item_id
from gateway.settings import ResponseSettings

HELLO = (Item(type="message", id="msg_in", role="user", content="Hello"),)


class _Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def _response(response_id: str, text: str = "Hi") -> Response:
    return msgspec.convert(
        {
            "id": response_id,
            "created_at": 1,
            "status": "completed",
            "model": "m",
            "system_fingerprint": "f",
            "output": [
                {
                    "type": "message",
                    "id": said_item_id(response_id, "msg", 0),
                    "status": "completed",
                    "content": [{"type": "output_text", "text": text}],
                }
            ],
            "text": TextOptions(),
            "top_logprobs": 0,
            "tools": [],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "reasoning": {},
            "metadata": {},
            "store": True,
            **dict.fromkeys(
                (
                    "instructions",
                    "previous_response_id",
                    "max_output_tokens",
                    "temperature",
                    "top_p",
                    "user",
                    "prompt_cache_key",
                    "safety_identifier",
                )
            ),
        },
        Response,
    )


def _store(clock: _Clock | None = None, **settings: Any) -> ResponseStore:
    return ResponseStore(ResponseSettings(**settings), now_s=clock or _Clock())


def _has(store: ResponseStore, response_id: str, owner: str | None = None) -> bool:
    try:
        store.find(owner, response_id)
    except NotFound:
        return False
    return True


def test_a_conversation_is_what_was_answered_and_then_what_was_said() -> None:
    store = _store()
    store.keep(None, _response("resp_1"), HELLO)
    said = store.conversation(None, "resp_1")
    assert said[0] is HELLO[0]
    assert [(item.type, item.role) for item in said] == [("message", "user"), ("message", "assistant")]
    assert store.conversation(None, None) == ()


def test_beyond_the_count_what_was_longest_not_asked_for_goes() -> None:
    store = _store(max_count=2)
    for response_id in ("resp_1", "resp_2"):
        store.keep(None, _response(response_id), HELLO)
    store.find(None, "resp_1")
    store.keep(None, _response("resp_3"), HELLO)
    assert [_has(store, f"resp_{number}") for number in (1, 2, 3)] == [True, False, True]


def test_beyond_the_size_what_was_longest_not_asked_for_goes() -> None:
    one_bytes = len(msgspec.json.encode((_response("resp_1"), HELLO)))
    store = _store(max_bytes=2 * one_bytes)
    for response_id in ("resp_1", "resp_2", "resp_3"):
        store.keep(None, _response(response_id), HELLO)
    assert [_has(store, f"resp_{number}") for number in (1, 2, 3)] == [False, True, True]
    store.delete(None, "resp_2")
    store.keep(None, _response("resp_4"), HELLO)
    assert [_has(store, f"resp_{number}") for number in (3, 4)] == [True, True]


ONE_BYTES = len(msgspec.json.encode((_response("resp_10"), HELLO)))


@pytest.mark.parametrize("bound", [{"max_count": 4}, {"max_bytes": 4 * ONE_BYTES}], ids=["count", "size"])
def test_nobody_is_pushed_out_of_an_even_share(bound: dict[str, Any]) -> None:
    store = _store(**bound)
    for number in range(10, 14):
        store.keep("ann", _response(f"resp_{number}"), HELLO)
    for number in range(20, 29):
        store.keep("bob", _response(f"resp_{number}"), HELLO)
    assert [number for number in range(10, 14) if _has(store, f"resp_{number}", "ann")] == [12, 13]
    assert [number for number in range(20, 29) if _has(store, f"resp_{number}", "bob")] == [27, 28]


def test_a_place_that_nobody_else_has_is_had_again_after_its_end() -> None:
    clock = _Clock()
    store = _store(clock, max_count=2, max_age_s=60)
    store.keep("ann", _response("resp_1"), HELLO)
    clock.now_s += 61
    store.expire()
    for number in (2, 3):
        store.keep("bob", _response(f"resp_{number}"), HELLO)
    assert [_has(store, f"resp_{number}", "bob") for number in (2, 3)] == [True, True]


def test_one_that_is_larger_than_all_that_is_kept_takes_no_others_place() -> None:
    store = _store(max_bytes=2000)
    store.keep(None, _response("resp_1"), HELLO)
    store.keep(None, _response("resp_2", text="x" * 2000), HELLO)
    assert [_has(store, f"resp_{number}") for number in (1, 2)] == [True, False]


def test_what_is_too_old_goes_however_often_it_is_asked_for() -> None:
    clock = _Clock()
    store = _store(clock, max_age_s=60)
    store.keep(None, _response("resp_1"), HELLO)
    clock.now_s += 59
    store.keep(None, _response("resp_2"), HELLO)
    assert _has(store, "resp_1")
    clock.now_s += 2
    assert [_has(store, f"resp_{number}") for number in (1, 2)] == [False, True]


def test_a_reference_to_what_is_too_old_refers_to_nothing() -> None:
    clock = _Clock()
    store = _store(clock, max_age_s=60)
    store.keep(None, _response("resp_1"), HELLO)
    clock.now_s += 61
    with pytest.raises(InvalidRequest):
        store.resolved(None, [Item(type="item_reference", id="msg_1_0")])


def test_what_is_referred_to_is_asked_for() -> None:
    store = _store(max_count=2)
    for response_id in ("resp_1", "resp_2"):
        store.keep(None, _response(response_id), HELLO)
    store.resolved(None, [Item(type="item_reference", id="msg_1_0")])
    store.keep(None, _response("resp_3"), HELLO)
    assert [_has(store, f"resp_{number}") for number in (1, 2, 3)] == [True, False, True]


def test_what_continues_a_response_outlives_it() -> None:
    store = _store()
    store.keep(None, _response("resp_1"), HELLO)
    store.keep(None, _response("resp_2"), (*store.conversation(None, "resp_1"), *HELLO))
    store.delete(None, "resp_1")
    assert len(store.conversation(None, "resp_2")) == 4


@pytest.mark.parametrize("others", list(itertools.permutations([None, "ann", "bob"], 2)))
def test_nobody_finds_deletes_continues_or_refers_to_anothers(others: tuple[str | None, str | None]) -> None:
    owner, other = others
    store = _store()
    store.keep(owner, _response("resp_1"), HELLO)
    reference = [Item(type="item_reference", id="msg_1_0")]
    for refused in (
        lambda: store.find(other, "resp_1"),
        lambda: store.delete(other, "resp_1"),
        lambda: store.conversation(other, "resp_1"),
        lambda: store.resolved(other, reference),
    ):
        with pytest.raises((NotFound, InvalidRequest)):
            refused()
    (item,) = store.resolved(owner, reference)
    assert (item.type, item.id, item.role) == ("message", "msg_1_0", "assistant")


def test_a_reference_ends_with_its_response() -> None:
    store = _store()
    store.keep(None, _response("resp_1"), HELLO)
    store.delete(None, "resp_1")
    with pytest.raises(InvalidRequest) as refused:
        store.resolved(None, [*HELLO, Item(type="item_reference", id="msg_1_0")])
    assert refused.value.param == "input[1].id"


@pytest.mark.parametrize("item_id", [None, "", "msg", "msg_1", "msg_1_1", "fc_1_0", "_1_0", "msg_1_0_0", "resp_1"])
def test_an_id_that_no_item_has_refers_to_none(item_id: str | None) -> None:
    store = _store()
    store.keep(None, _response("resp_1"), HELLO)
    with pytest.raises(InvalidRequest):
        store.resolved(None, [Item(type="item_reference", id=item_id)])


def test_none_is_kept_where_the_count_is_none() -> None:
    store = _store(max_count=0)
    store.keep(None, _response("resp_1"), HELLO)
    assert not store.is_open
    with pytest.raises(InvalidRequest, match=r"responses\.max_count") as refused:
        store.conversation(None, "resp_1")
    assert refused.value.code is ErrorCode.PREVIOUS_RESPONSE_NOT_FOUND
