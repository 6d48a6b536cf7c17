"""What a client sees of the prefix cache, and how it turns it off."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.settings import Settings
from tests.support.served import SCRIPTED, serving

HEADER = "x-gateway-prefix-cache"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    state_dir: Path = tmp_path_factory.mktemp("state")
    with (
        serving(Settings(state_dir=str(state_dir)), [SCRIPTED / "tutor"]) as served,
        httpx.Client(base_url=served.url, timeout=30) as client,
    ):
        yield client


def _body(question: str, **more: object) -> dict[str, Any]:
    return {"model": "tutor", "messages": [{"role": "user", "content": question}], **more}


def _cached_tokens(client: httpx.Client, question: str, headers: dict[str, str] | None = None) -> int:
    answer = client.post("/v1/chat/completions", json=_body(question), headers=headers).raise_for_status().json()
    usage = answer["usage"]
    assert 0 <= usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]
    return usage["prompt_tokens_details"]["cached_tokens"]


def test_usage_tells_how_much_of_the_prompt_was_cached(client: httpx.Client) -> None:
    question = "How long is the river that runs through this town?"
    assert _cached_tokens(client, question) == 0
    assert _cached_tokens(client, question) >= len(question)


def test_the_usage_of_a_stream_tells_it_too(client: httpx.Client) -> None:
    question = "Which bridge crosses the river at its mouth?"
    _cached_tokens(client, question)
    body = _body(question, stream=True, stream_options={"include_usage": True})
    events = client.post("/v1/chat/completions", json=body).raise_for_status().text
    assert f'"prompt_tokens_details":{{"cached_tokens":{len(question) + 1}}}' in events


def test_a_request_may_turn_it_off_and_leaves_no_trace_in_it(client: httpx.Client) -> None:
    question = "Who walked over the oldest of these bridges?"
    assert _cached_tokens(client, question, {HEADER: "off"}) == 0
    assert _cached_tokens(client, question, {HEADER: "on"}) == 0
    assert _cached_tokens(client, question, {HEADER: "off"}) == 0
    assert _cached_tokens(client, question) >= len(question)


def test_another_value_of_the_header_is_refused_by_name(client: httpx.Client) -> None:
    answer = client.post("/v1/chat/completions", json=_body("hello"), headers={HEADER: "false"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == HEADER
