"""Engines that die under HTTP: one true answer for each client."""

import json
import os
import signal
import socket
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.settings import EngineSettings, ServerSettings, Settings
from tests.support.programs import wait_until
from tests.support.scripted_model import write_scripted_model
from tests.support.served import Served, serving

CHAT = "/v1/chat/completions"
LONG = "This answer takes long enough for its engine to die before it ends."
SCRIPT = f"""
default_text = "All is well."
[[answers]]
match = "slowly"
text = "{LONG}"
step_delay_s = 0.01
[[answers]]
match = "verbose"
text = "{"x" * 3000}"
[[faults]]
match = "POISON"
kind = "exit"
at_token = 3
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    model = write_scripted_model(tmp_path_factory.mktemp("models") / "model", SCRIPT)
    settings = Settings(
        state_dir=str(tmp_path_factory.mktemp("state")),
        server=ServerSettings(stalled_reader_timeout_s=0.5, keep_alive_interval_s=0.1),
        engine=EngineSettings(restart_backoff_initial_s=0.01, breaker_failures=1000),
    )
    with serving(settings, [model]) as served:
        yield served


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=30) as http:
        wait_until(lambda: http.get("/ready").status_code == 200)
        yield http


def body(text: str, **fields: object) -> dict[str, object]:
    return {"model": "model", "messages": [{"role": "user", "content": text}], **fields}


def engine(http: httpx.Client) -> dict[str, Any]:
    (view,) = http.get("/admin/engines").raise_for_status().json()
    return view


def killed_under(http: httpx.Client, ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Ask, kill the engine when it has said something, and return the response."""
    with ThreadPoolExecutor() as pool:
        response = pool.submit(ask)
        wait_until(lambda: engine(http)["rows"] > 0)
        os.kill(engine(http)["pid"], signal.SIGKILL)
        return response.result(30)


@pytest.mark.parametrize("choices", [1, 2])
def test_a_plain_answer_survives_the_death_of_its_engine(http: httpx.Client, choices: int) -> None:
    restarts = engine(http)["restarts"]
    response = killed_under(http, lambda: http.post(CHAT, json=body("slowly", n=choices)))
    assert response.status_code == 200
    answer = response.json()
    assert [choice["message"]["content"] for choice in answer["choices"]] == [LONG] * choices
    assert answer["usage"]["completion_tokens"] == choices * (len(LONG) + 1)
    assert engine(http)["restarts"] == restarts + 1
    assert engine(http)["last_failure"] == "killed"


def test_a_pinned_one_sees_it(http: httpx.Client, served: Served) -> None:
    headers = {"x-gateway-variant": served.references["model"]}
    response = killed_under(http, lambda: http.post(CHAT, json=body("slowly"), headers=headers))
    assert (response.status_code, response.json()["error"]["code"]) == (500, "engine_crashed")


def test_a_request_that_kills_the_engine_alone_is_a_400_from_then_on(http: httpx.Client) -> None:
    first = http.post(CHAT, json=body("POISON"))
    assert (first.status_code, first.json()["error"]["code"]) == (500, "engine_crashed")
    for stream in (True, False):
        again = http.post(CHAT, json=body("POISON", stream=stream))
        assert (again.status_code, again.json()["error"]["code"]) == (400, "request_crashes_engine")
        assert again.json()["error"]["type"] == "invalid_request_error"
        assert "POISON" not in again.text
    assert http.post(CHAT, json=body("hello")).status_code == 200


def test_a_client_that_stops_reading_holds_no_row_and_is_cut_off(http: httpx.Client, served: Served) -> None:
    """The answer is several megabytes, more than the two sockets and the server's buffer take."""
    cut_before = stalled_count(http)
    data = json.dumps(body("verbose", stream=True, logprobs=True, top_logprobs=20)).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += f"content-length: {len(data)}\r\n\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", int(served.url.rsplit(":", 1)[1])))
        client.sendall(head.encode() + data)
        assert client.recv(64).startswith(b"HTTP/1.1 200")
        # Its row is free when the engine has ended the answer, whatever has become of the text.
        wait_until(lambda: "gateway_requests_running 0.0" in http.get("/metrics").text)
        assert http.post(CHAT, json=body("hello")).status_code == 200
        wait_until(lambda: stalled_count(http) == cut_before + 1)


def stalled_count(http: httpx.Client) -> float:
    lines = http.get("/metrics").text.splitlines()
    counts = [line for line in lines if line.startswith("gateway_requests_total") and 'status="499"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in counts)


def test_an_engine_that_rests_is_told_by_ready_and_by_a_503_with_the_time_to_come_back(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", SCRIPT)
    engine_settings = EngineSettings(restart_backoff_initial_s=0.01, breaker_failures=1, breaker_open_s=30)
    with (
        serving(Settings(state_dir=str(tmp_path), engine=engine_settings), [model]) as served,
        httpx.Client(base_url=served.url, timeout=30) as http,
    ):
        os.kill(engine(http)["pid"], signal.SIGKILL)
        wait_until(lambda: engine(http)["breaker"] == "open")
        ready = http.get("/ready")
        assert ready.status_code == 503
        assert "requests are refused" in ready.json()["detail"]
        assert ready.json()["engines"][0]["retry_after_s"] <= 31
        refused = http.post(CHAT, json=body("hello"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "engine_failing")
        assert 1 <= int(refused.headers["retry-after"]) <= 31
        metrics = http.get("/metrics").text
        assert 'gateway_engine_breaker_open{role="incumbent"} 1.0' in metrics
        assert 'gateway_engine_failures_total{reason="killed",role="incumbent"} 1.0' in metrics
        assert 'gateway_requests_refused_total{class="interactive",reason="breaker"} 1.0' in metrics
