"""Classes, memory and loading on demand, as a client and a probe see them over HTTP."""

import time
from pathlib import Path

import httpx

from gateway.contracts.keys import KeyRole
from gateway.contracts.scheduling import SchedulingClass
from gateway.keys import KeyRing, load_keys
from gateway.settings import EngineSettings, KeySettings, MemorySettings, Settings
from tests.support.served import SCRIPTED, serving

MIB = 1024**2


def keys() -> KeyRing:
    entries = [
        KeySettings(name="person", role=KeyRole.CHAT, secret_env="PERSON"),  # noqa: S106 - the variable's name
        KeySettings(
            name="worker",
            role=KeyRole.EVALUATION,
            secret_env="WORKER",  # noqa: S106 - as above
            scheduling_class=SchedulingClass.BATCH,
        ),
    ]
    return load_keys(entries, environ={"PERSON": "p3rson", "WORKER": "w0rker"})


def ask(
    http: httpx.Client, *, max_tokens: int = 5, caller: str | None = None, pin: str | None = None
) -> httpx.Response:
    body = {
        "model": "tutor",
        "messages": [{"role": "user", "content": "capital of France"}],
        "max_completion_tokens": max_tokens,
    }
    headers = {"authorization": f"Bearer {caller}"} if caller else {}
    if pin:
        headers["x-gateway-variant"] = pin
    return http.post("/v1/chat/completions", json=body, headers=headers)


def admitted(http: httpx.Client) -> dict[str, int]:
    """Return how many requests of each class were admitted."""
    metrics = http.get("/metrics").text
    prefix = "gateway_queue_wait_seconds_count{"
    lines = [line.removeprefix(prefix) for line in metrics.splitlines() if line.startswith(prefix)]
    return {line.split('"')[1]: round(float(line.split()[-1])) for line in lines}


def test_the_class_is_the_keys_but_for_a_pin_which_is_an_evaluation(tmp_path: Path) -> None:
    with (
        serving(Settings(state_dir=str(tmp_path)), [SCRIPTED / "tutor"], keys=keys()) as served,
        httpx.Client(base_url=served.url, timeout=20) as http,
    ):
        ask(http, caller="p3rson").raise_for_status()
        for _ in range(2):
            ask(http, caller="w0rker").raise_for_status()
        ask(http, caller="w0rker", pin=served.references["tutor"]).raise_for_status()
        assert admitted(http) == {"interactive": 1, "batch": 2, "evaluation": 1}


def test_without_keys_requests_are_interactive_but_for_a_pin(tmp_path: Path) -> None:
    with (
        serving(Settings(state_dir=str(tmp_path)), [SCRIPTED / "tutor"]) as served,
        httpx.Client(base_url=served.url, timeout=20) as http,
    ):
        ask(http).raise_for_status()
        ask(http, pin=served.references["tutor"]).raise_for_status()
        assert admitted(http) == {"interactive": 1, "evaluation": 1}


def test_a_request_that_can_never_fit_is_told_so_for_good(tmp_path: Path) -> None:
    memory = MemorySettings(recommended_working_set_bytes=8 * MIB, reserve_bytes=MIB, kv_floor_tokens=256)
    with (
        serving(Settings(state_dir=str(tmp_path), memory=memory), [SCRIPTED / "tutor"]) as served,
        httpx.Client(base_url=served.url, timeout=20) as http,
    ):
        response = ask(http, max_tokens=7000)
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "memory_pressure"
        assert "tokens of 1 KiB" in response.json()["error"]["message"]
        assert response.headers["x-should-retry"] == "false"
        assert "retry-after" not in response.headers
        ask(http).raise_for_status()


def test_an_idle_incumbent_is_ready_and_loaded_by_the_next_request(tmp_path: Path) -> None:
    engine = EngineSettings(incumbent_idle_unload_s=0.2, stop_timeout_s=2)
    with (
        serving(Settings(state_dir=str(tmp_path), engine=engine), [SCRIPTED / "tutor"]) as served,
        httpx.Client(base_url=served.url, timeout=20) as http,
    ):
        deadline = time.monotonic() + 20
        while http.get("/admin/engines").json():
            assert time.monotonic() < deadline, "the engine was not unloaded"
            time.sleep(0.05)
        ready = http.get("/ready")
        assert ready.status_code == 200
        assert ready.json()["detail"] == "tutor: idle, loaded on demand"
        assert 'gateway_engine_up{role="incumbent"} 1.0' in http.get("/metrics").text
        assert ask(http).raise_for_status().json()["choices"][0]["message"]["content"] == "The c"
