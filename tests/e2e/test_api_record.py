"""What remains of a request: one line in the log and one count in the metrics, whatever its end."""

import socket
import time
from collections import defaultdict
from collections.abc import Callable, Generator, MutableMapping
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from gateway.settings import Settings
from tests.support.served import SCRIPTED, Served, serving

CHAT = "/v1/chat/completions"
PATIENCE_S = 5.0
FALTERING = """
default_text = "All is well."
step_delay_s = 0.02
faults = [{match = "LATE", kind = "raise", at_token = 3}]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    faltering = tmp_path_factory.mktemp("models") / "faltering"
    faltering.mkdir()
    (faltering / "scripted.toml").write_text(FALTERING)
    settings = Settings(state_dir=str(tmp_path_factory.mktemp("state")))
    with serving(settings, [SCRIPTED / "tutor", faltering]) as served:
        yield served


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20) as http:
        yield http


def _body(model: str, text: str, *, stream: bool = False) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}


def _counts(http: httpx.Client) -> dict[tuple[str, ...], float]:
    """Return the requests by model, role and status."""
    return _counts_by(http, "model", "role", "status")


def _counts_by(http: httpx.Client, *labels: str) -> dict[tuple[str, ...], float]:
    counts: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for family in text_string_to_metric_families(http.get("/metrics").text):
        for sample in family.samples:
            if sample.name == "gateway_requests_total":
                counts[tuple(sample.labels[label] for label in labels)] += sample.value
    return dict(counts)


@contextmanager
def _recorded(http: httpx.Client, count: tuple[str, str, str]) -> Generator[dict[str, Any]]:
    """Yield a dictionary that holds the one line of the one request made in the context, when that ends.

    The request must be the only one, and raise the one count by one.
    """
    before = _counts(http)
    line: dict[str, Any] = {}
    logs: list[MutableMapping[str, Any]]
    with structlog.testing.capture_logs() as logs:
        yield line
        _wait_until(lambda: any(log["event"] == "request_finished" for log in logs))
        after = _counts(http)
    (finished,) = (log for log in logs if log["event"] == "request_finished")
    line.update(finished)
    assert after == {**before, count: before.get(count, 0) + 1}


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come to pass"
        time.sleep(0.02)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answered_request_is_recorded_whole(http: httpx.Client, served: Served, *, stream: bool) -> None:
    with _recorded(http, ("tutor", "incumbent", "200")) as line:
        http.post(CHAT, json=_body("tutor", "count", stream=stream), headers={"x-request-id": "mine"})
    assert line["request_id"] == "mine"
    assert (line["method"], line["path"], line["status"]) == ("POST", CHAT, 200)
    assert (line["model"], line["variant"], line["role"]) == ("tutor", served.references["tutor"], "incumbent")
    assert line["stream"] is stream
    assert line["finish_reason"] == "stop"
    assert line["prompt_tokens"] > 0
    assert line["completion_tokens"] > 0
    assert 0 < line["time_to_first_token_s"] <= line["duration_s"]
    assert "code" not in line


@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_is_recorded_as_a_chat_is(http: httpx.Client, served: Served, *, stream: bool) -> None:
    body = {"model": "tutor", "prompt": ["count", "count"], "max_tokens": 3, "echo": True, "stream": stream}
    with _recorded(http, ("tutor", "incumbent", "200")) as line:
        http.post("/v1/completions", json=body)
    assert (line["path"], line["stream"], line["finish_reason"]) == ("/v1/completions", stream, "length")
    assert (line["variant"], line["prompt_tokens"], line["completion_tokens"]) == (served.references["tutor"], 10, 6)
    assert 0 < line["time_to_first_token_s"] <= line["duration_s"]
    assert line["completion_id"].startswith("cmpl-")


def test_tokenising_leaves_a_line_and_is_not_counted_among_the_answers(http: httpx.Client, served: Served) -> None:
    before = _counts(http)
    with structlog.testing.capture_logs() as logs:
        http.post("/tokenize", json={"model": "tutor", "prompt": "secret"}).raise_for_status()
        _wait_until(lambda: any(log["event"] == "request_finished" for log in logs))
    (line,) = (log for log in logs if log["event"] == "request_finished")
    assert (line["path"], line["variant"], line["status"]) == ("/tokenize", served.references["tutor"], 200)
    assert "secret" not in str(logs)
    assert _counts(http) == before


def test_a_pinned_incumbent_is_counted_as_a_trial(http: httpx.Client, served: Served) -> None:
    before = _counts_by(http, "role", "class")
    with _recorded(http, ("tutor", "incumbent", "200")):
        http.post(CHAT, json=_body("tutor", "Hello"), headers={"x-gateway-variant": served.references["tutor"]})
    trial = ("incumbent", "evaluation")
    assert _counts_by(http, "role", "class") == {**before, trial: before.get(trial, 0) + 1}


def test_a_pinned_candidate_is_recorded_as_candidate(http: httpx.Client, served: Served) -> None:
    with _recorded(http, ("tutor", "candidate", "200")) as line:
        http.post(CHAT, json=_body("tutor", "Hello"), headers={"x-gateway-variant": served.references["faltering"]})
    assert (line["variant"], line["role"]) == (served.references["faltering"], "candidate")


def test_a_request_that_is_refused_before_it_is_routed_is_recorded(http: httpx.Client) -> None:
    with _recorded(http, ("other", "none", "400")) as line:
        http.post(CHAT, json={"model": "tutor", "messages": []})
    assert (line["status"], line["code"]) == (400, "invalid_value")
    assert "model" not in line


def test_an_unknown_model_is_not_recorded_by_its_name(http: httpx.Client) -> None:
    with _recorded(http, ("other", "none", "404")) as line:
        http.post(CHAT, json=_body("anything a client may say", "Hello"))
    assert line["code"] == "model_not_found"
    assert "anything" not in str(line)


def test_a_failure_in_mid_stream_is_recorded_with_its_code(http: httpx.Client) -> None:
    with _recorded(http, ("faltering", "incumbent", "200")) as line:
        http.post(CHAT, json=_body("faltering", "LATE", stream=True))
    assert (line["status"], line["code"]) == (200, "engine_fault")
    assert line["completion_tokens"] == 2
    assert "finish_reason" not in line


def test_a_client_that_leaves_a_stream_is_recorded(http: httpx.Client) -> None:
    body = _body("tutor", "slowly", stream=True)
    with _recorded(http, ("tutor", "incumbent", "499")) as line, http.stream("POST", CHAT, json=body) as response:
        next(response.iter_bytes())
    assert (line["status"], line["code"]) == (499, "client_disconnected")
    assert line["time_to_first_token_s"] > 0
    assert line["completion_tokens"] > 0


def test_a_client_that_does_not_wait_for_its_answer_is_recorded(http: httpx.Client) -> None:
    with _recorded(http, ("tutor", "incumbent", "499")) as line, pytest.raises(httpx.ReadTimeout):
        http.post(CHAT, json=_body("tutor", "slowly"), timeout=0.3)
    assert (line["status"], line["code"]) == (499, "client_disconnected")


def test_a_client_that_leaves_while_it_sends_is_recorded(http: httpx.Client, served: Served) -> None:
    with _recorded(http, ("other", "none", "499")) as line:
        url = httpx.URL(served.url)
        with socket.create_connection((url.host, url.port)) as connection:
            connection.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 9\r\n\r\n{{".encode())
    assert line["code"] == "client_disconnected"


def test_no_line_says_what_was_asked_or_answered(http: httpx.Client) -> None:
    with structlog.testing.capture_logs() as logs:
        for text in ("capital of France, xyzzy", "LATE xyzzy"):
            for stream in (False, True):
                http.post(CHAT, json=_body("tutor", text, stream=stream))
                http.post(CHAT, json=_body("faltering", text, stream=stream))
        http.post(CHAT, content=b'{"model": "tutor", "messages": "xyzzy"}')
        http.post(CHAT, content=b'{"xyzzy": ')
        # A line is written when its answer has been sent.
        _wait_until(lambda: sum(log["event"] == "request_finished" for log in logs) == 10)
    for secret in ("xyzzy", "Paris", "well"):
        assert secret not in str(logs)


def test_probes_and_scrapes_leave_no_line(http: httpx.Client) -> None:
    with structlog.testing.capture_logs() as logs:
        for path in ("/health", "/ready", "/metrics"):
            assert http.get(path).status_code == 200
    assert logs == []


def test_an_admin_request_leaves_a_line_and_no_count(http: httpx.Client) -> None:
    before = _counts(http)
    with structlog.testing.capture_logs() as logs:
        http.get("/admin/deployments/tutor")
        _wait_until(lambda: bool(logs))
    (line,) = logs
    assert (line["path"], line["status"]) == ("/admin/deployments/{model}", 200)
    assert _counts(http) == before
