"""What a real gateway counts and shows while it serves."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Generator
from contextlib import closing, contextmanager

import httpx
import pytest
import structlog

from gateway.settings import EngineSettings, Settings
from tests.support.programs import wait_until
from tests.support.scraping import scrape
from tests.support.scripted_model import write_scripted_model
from tests.support.served import Served, serving

CHAT = "/v1/chat/completions"
SCRIPT = """
default_text = "All is well."
[[answers]]
match = "slowly"
text = "This answer takes its time, so that somebody can lose patience with it before it ends."
step_delay_s = 0.02
[[answers]]
match = "late"
text = "ok"
step_delay_s = 3.0
"""
OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
RUN = {
    "id": "run-1",
    "model": "model",
    "suite": "smoke",
    "incumbent": "model@aaaaaaaa",
    "candidates": ["better@bbbbbbbb"],
    "phase": "trials",
    "trials_done": 3,
    "trials_total": 12,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    model = write_scripted_model(tmp_path_factory.mktemp("models") / "model", SCRIPT)
    settings = Settings(
        state_dir=str(tmp_path_factory.mktemp("state")),
        engine=EngineSettings(max_rows=1, restart_backoff_initial_s=0.01),
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


@contextmanager
def grown(served: Served, **least: float) -> Generator[None]:
    """Wait, when the context ends, until each of these samples has grown by so much."""
    before = scrape(served.url)

    def have_grown() -> bool:
        now = scrape(served.url)
        return all(now.get(name, 0.0) - before.get(name, 0.0) == by for name, by in least.items())

    yield
    wait_until(have_grown)


def asked(served: Served, text: str) -> socket.socket:
    """Send a chat request and return its connection, of which nothing is read."""
    data = json.dumps(body(text)).encode()
    url = httpx.URL(served.url)
    connection = socket.create_connection((url.host, url.port or 0))
    connection.sendall(
        f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\n\r\n".encode()
        + data
    )
    return connection


def test_tokens_are_counted_by_what_they_cost(http: httpx.Client, served: Served) -> None:
    text = "Of two prompts that are alike, the second is found in the cache. " * 10
    # After the answer was sent.
    counted = {"gateway_requests_total{class=interactive,model=model,role=incumbent,status=200}": 1}
    with grown(served, **counted):
        http.post(CHAT, json=body(text)).raise_for_status()
    before = scrape(served.url)
    with grown(served, **counted):
        usage = http.post(CHAT, json=body(text)).raise_for_status().json()["usage"]
    after = scrape(served.url)
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert cached > 0
    for kind, count in (
        ("prompt", usage["prompt_tokens"]),
        ("cached", cached),
        ("completion", usage["completion_tokens"]),
    ):
        name = f"gateway_tokens_total{{class=interactive,model=model,role=incumbent,type={kind}}}"
        assert after[name] - before[name] == count


@pytest.mark.parametrize("stream", [False, True])
def test_an_answers_tokens_are_timed_however_it_is_sent(http: httpx.Client, served: Served, *, stream: bool) -> None:
    gaps = "gateway_inter_token_seconds_{}{{class=interactive,model=model,role=incumbent}}"
    means = "gateway_time_per_output_token_seconds_{}{{class=interactive,model=model,role=incumbent}}"
    before = scrape(served.url)
    http.post(CHAT, json=body("slowly", stream=stream)).raise_for_status()
    after = scrape(served.url)
    count, total_s = (after[gaps.format(of)] - before.get(gaps.format(of), 0) for of in ("count", "sum"))
    assert 1 < count <= 86
    assert total_s >= 43 * 0.02  # a busy engine's first message may bring many of the 87 tokens
    assert after[means.format("count")] - before.get(means.format("count"), 0) == 1
    mean_s = after[means.format("sum")] - before.get(means.format("sum"), 0)
    assert total_s / 87 <= mean_s <= total_s / count * 1.001


def test_a_client_that_leaves_is_counted_by_how_far_its_request_was(http: httpx.Client, served: Served) -> None:
    cancelled = "gateway_requests_cancelled_total{{stage={}}}".format
    streamed = body("slowly", stream=True)
    with grown(served, **{cancelled("decode"): 1}), http.stream("POST", CHAT, json=streamed) as response:
        next(response.iter_bytes())
    with closing(asked(served, "slowly")):
        wait_until(lambda: scrape(served.url)["gateway_requests_running{}"] == 1)
        with grown(served, **{cancelled("queued"): 1}), closing(asked(served, "Hello")):
            wait_until(lambda: scrape(served.url)["gateway_requests_queued{class=interactive}"] == 1)
    wait_until(lambda: scrape(served.url)["gateway_requests_running{}"] == 0)
    with grown(served, **{cancelled("prefill"): 1}), closing(asked(served, "late")):
        wait_until(lambda: scrape(served.url)["gateway_requests_running{}"] == 1)


def test_the_memory_budget_is_that_of_the_status(http: httpx.Client, served: Served) -> None:
    memory = http.get("/admin/status").json()["memory"]
    found = scrape(served.url)
    for kind in ("limit", "reserve", "planned", "used"):
        assert found[f"gateway_memory_budget_bytes{{kind={kind}}}"] == memory[f"{kind}_bytes"]
    assert found["gateway_memory_budget_bytes{kind=available}"] > 0


def test_an_engine_that_is_started_again_is_counted(http: httpx.Client, served: Served) -> None:
    with grown(served, **{"gateway_engine_restarts_total{role=incumbent}": 1}):
        os.kill(http.get("/admin/engines").json()[0]["pid"], signal.SIGKILL)


def test_a_run_is_shown_and_counted_while_it_is_heard_of(http: httpx.Client, served: Served) -> None:
    with structlog.testing.capture_logs() as logs:
        assert http.post("/admin/progress", json=RUN).status_code == 204
    assert not [log for log in logs if log["event"] == "request_finished"]
    (view,) = http.get("/admin/progress").json()
    assert view["progress"]["trials_done"] == 3
    found = scrape(served.url)
    assert found["canary_evaluation_running{model=model,suite=smoke}"] == 1
    assert found["canary_evaluation_progress_ratio{model=model,suite=smoke}"] == 0.25
    assert found["canary_evaluation_phase{model=model,phase=trials,suite=smoke}"] == 1
    http.post("/admin/progress", json={**RUN, "ended": True}).raise_for_status()
    assert http.get("/admin/progress").json() == []
    assert scrape(served.url)["canary_evaluation_running{model=model,suite=smoke}"] == 0


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"model": "nobody"}, 404),
        ({"phase": "guessing"}, 400),
        ({"suite": "x" * 201}, 400),
        ({"candidates": ["x"] * 33}, 400),
        ({"prompt": "?"}, 400),
    ],
)
def test_what_is_no_progress_is_refused_and_leaves_a_line(
    http: httpx.Client, change: dict[str, object], status: int
) -> None:
    with structlog.testing.capture_logs() as logs:
        assert http.post("/admin/progress", json={**RUN, **change}).status_code == status
        wait_until(lambda: any(log["event"] == "request_finished" for log in logs))
    (line,) = (log for log in logs if log["event"] == "request_finished")
    assert (line["path"], line["status"]) == ("/admin/progress", status)
    assert http.get("/admin/progress").json() == []


def test_who_accepts_openmetrics_gets_it_and_others_the_older_text(http: httpx.Client) -> None:
    http.post(CHAT, json=body("Hello"), headers={"x-request-id": "seen-once"}).raise_for_status()
    wait_until(lambda: '# {request_id="seen-once"} ' in http.get("/metrics", headers={"accept": OPENMETRICS}).text)
    rich = http.get("/metrics", headers={"accept": OPENMETRICS})
    assert rich.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert rich.text.endswith("# EOF\n")
    for accept in ("", "*/*", "text/plain;version=0.0.4", "application/json"):
        plain = http.get("/metrics", headers={"accept": accept})
        assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "request_id" not in plain.text


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text;version=x;escaping=\\", "application/openmetrics-text"]
)
def test_an_odd_wish_is_answered(http: httpx.Client, accept: str) -> None:
    assert http.get("/metrics", headers={"accept": accept}).status_code == 200


def test_the_whole_exposition_passes_promtool(http: httpx.Client, promtool: str) -> None:
    http.post(CHAT, json=body("Hello")).raise_for_status()
    exposition = http.get("/metrics").content
    checked = subprocess.run([promtool, "check", "metrics"], input=exposition, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
