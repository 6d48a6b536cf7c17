"""Streams over a real server: kept alive while nothing comes, valid UTF-8 in every chunk."""

import asyncio
import json
import socket
from collections.abc import Generator
from pathlib import Path

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.contracts.digests import short
from gateway.settings import EngineSettings, ServerSettings, Settings
from tests.support.programs import wait_until
from tests.support.served import SCRIPTED, Served, serving

CHAT = "/v1/chat/completions"
INTERVAL_S = 0.1
VERBOSE = "".join(f"{number:04}." for number in range(600))
CALL = '<tool_call>{"name": "f", "arguments": {"a": "aaaaa"}}</tool_call>'
SLOW = f"""
default_text = "At last."
faults = [{{match = "EARLY", kind = "raise", at_token = 1}}]
answers = [
    {{match = "slow|EARLY", text = "At last.", step_delay_s = 0.35}},
    {{match = "call", text = '{CALL}', step_delay_s = 0.02}},
    {{match = "verbose", text = "{VERBOSE}"}},
]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    slow = tmp_path_factory.mktemp("models") / "slow"
    slow.mkdir()
    Path(slow / "scripted.toml").write_text(SLOW)
    settings = Settings(
        state_dir=str(tmp_path_factory.mktemp("state")),
        server=ServerSettings(keep_alive_interval_s=INTERVAL_S),
        engine=EngineSettings(max_rows=1),
    )
    with serving(settings, [SCRIPTED / "tutor", slow]) as served:
        yield served


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20) as http:
        yield http


def _body(model: str, text: str, **fields: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "stream": True, "max_tokens": 2, **fields}


def _decoded_tokens(http: httpx.Client) -> int:
    return sum(engine["work"]["decoded_tokens"] for engine in http.get("/admin/engines").json())


def _events(text: str) -> list[str]:
    assert text.endswith("\n\n")
    return text.split("\n\n")[:-1]


def test_a_stream_that_waits_is_kept_alive_by_comments_that_clients_skip(http: httpx.Client, served: Served) -> None:
    response = http.post(CHAT, json=_body("slow", "slow"))
    events = _events(response.text)
    assert events[0] == ": keep-alive"
    assert events.count(": keep-alive") >= 2
    assert events[-1] == "data: [DONE]"
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="slow", messages=[{"role": "user", "content": "slow"}], stream=True, max_tokens=2
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "At"


def test_a_stream_is_kept_alive_in_the_line_and_while_a_call_grows(served: Served) -> None:
    async def ask_both() -> list[httpx.Response]:
        tool = {"type": "function", "function": {"name": "f"}}
        body = _body("slow", "call", tools=[tool], max_tokens=None)
        async with httpx.AsyncClient(base_url=served.url, timeout=20) as http:
            return await asyncio.gather(*[http.post(CHAT, json=body) for _ in range(2)])

    for response in asyncio.run(ask_both()):
        events = _events(response.text)
        assert events.count(": keep-alive") >= 2
        assert json.loads(events[-2].removeprefix("data: "))["choices"][0]["finish_reason"] == "tool_calls"


def test_a_stream_that_is_not_late_has_no_comments(http: httpx.Client) -> None:
    assert ": keep-alive" not in http.post(CHAT, json=_body("tutor", "count")).text


def test_a_whole_answer_has_no_comments(http: httpx.Client) -> None:
    response = http.post(CHAT, json=_body("slow", "slow", stream=False))
    assert response.json()["choices"][0]["message"]["content"] == "At"


def test_a_client_that_stops_reading_for_a_while_gets_every_token_once(http: httpx.Client, served: Served) -> None:
    """What comes meanwhile is several megabytes, more than the two sockets and the server's buffer take."""
    body = _body("slow", "verbose", max_tokens=len(VERBOSE) + 1, logprobs=True, top_logprobs=20)
    receive_buffer = (socket.SOL_SOCKET, socket.SO_RCVBUF)
    transport = httpx.HTTPTransport(socket_options=[(*receive_buffer, 4096)])
    decoded_before = _decoded_tokens(http)
    with (
        httpx.Client(base_url=served.url, timeout=20, transport=transport) as slow,
        slow.stream("POST", CHAT, json=body) as response,
    ):
        wait_until(lambda: _decoded_tokens(http) > decoded_before + len(VERBOSE))
        response.extensions["network_stream"].get_extra_info("socket").setsockopt(*receive_buffer, 1 << 20)
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: {")]
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == VERBOSE


def test_an_error_after_the_first_comment_is_the_last_event(http: httpx.Client) -> None:
    response = http.post(CHAT, json=_body("slow", "EARLY"))
    assert response.status_code == 200
    events = _events(response.text)
    assert events[0] == ": keep-alive"
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "engine_fault"
    assert "data: [DONE]" not in events


def test_a_refusal_before_the_first_comment_has_its_own_status(http: httpx.Client) -> None:
    assert http.post(CHAT, json=_body("slow", "x" * 9000)).status_code == 400


@pytest.mark.parametrize("question", ["languages", "count"])
def test_every_part_on_the_wire_is_valid_utf8(http: httpx.Client, question: str) -> None:
    with http.stream("POST", CHAT, json=_body("tutor", question, max_tokens=None)) as response:
        parts = [part.decode() for part in response.iter_raw()]
    contents = [
        json.loads(event.removeprefix("data: "))["choices"][0]["delta"].get("content") or ""
        for event in _events("".join(parts))[:-1]
    ]
    assert not any("\N{REPLACEMENT CHARACTER}" in content for content in contents)
    assert "".join(contents) in {"Grüße, 日本語, 🙂!", "one two three four five six seven eight nine ten"}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 40), stop=st.sampled_from([None, "ü", "語", "🙂", "e, 日", "!"]))
def test_a_stream_says_what_the_whole_answer_says_wherever_it_is_cut(
    http: httpx.Client, limit: int, stop: str | None
) -> None:
    body = _body("tutor", "languages", max_tokens=limit, stop=stop)
    whole = http.post(CHAT, json={**body, "stream": False}).json()["choices"][0]
    events = _events(http.post(CHAT, json=body).text)
    chunks = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: {")]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == whole["message"]["content"]
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]


def test_every_chunk_names_the_variant_that_answers(http: httpx.Client, served: Served) -> None:
    events = _events(http.post(CHAT, json=_body("tutor", "count")).text)[:-1]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {chunk["system_fingerprint"] for chunk in chunks} == {short(served.references["tutor"].split("@")[1])}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
