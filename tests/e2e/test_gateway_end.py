"""How `gateway serve` and its engines end: by a signal, by a crash, by having been killed."""

import signal
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import openai
import psutil
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.support.programs import PATIENCE_S, RunningGateway, gateway_serving, wait_until
from tests.support.scripted_model import write_scripted_model

MODEL = """
default_text = "All is well."

[[answers]]
match = "slowly"
text = "This answer takes its time."
step_delay_s = 0.05

[[faults]]
match = "HANG"
kind = "hang"
at_token = 4
"""
SLOW_ANSWER = "This answer takes its time."
AT_ONCE_S = 8.0
"""Far below `server.drain_timeout_s`, which is what a drain would wait for."""


@pytest.fixture
def gateway(tmp_path: Path) -> Generator[RunningGateway]:
    environ = {"GATEWAY__ENGINE__RESTART_BACKOFF_INITIAL_S": "1", "GATEWAY__ENGINE__STOP_TIMEOUT_S": "1"}
    model = write_scripted_model(tmp_path / "tutor", MODEL)
    with gateway_serving(tmp_path, "--model", model, environ=environ) as gateway:
        yield gateway


@pytest.fixture
def client(gateway: RunningGateway) -> Generator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0, timeout=PATIENCE_S) as client:
        yield client


def ask(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def engine_process(gateway: RunningGateway) -> psutil.Process:
    (engine,) = gateway.get("/admin/engines").json()
    return psutil.Process(engine["pid"])


def test_sigterm_lets_a_stream_end_and_exits_with_0(gateway: RunningGateway, client: openai.OpenAI) -> None:
    engine = engine_process(gateway)
    stream = client.chat.completions.create(model="tutor", messages=ask("slowly"), stream=True)
    chunks = [next(iter(stream))]
    gateway.process.send_signal(signal.SIGTERM)
    chunks.extend(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SLOW_ANSWER
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert gateway.process.wait(PATIENCE_S) == 0
    assert not engine.is_running()
    with pytest.raises(httpx.ConnectError):
        gateway.get("/health")


def test_a_second_sigterm_ends_at_once(gateway: RunningGateway, client: openai.OpenAI) -> None:
    engine = engine_process(gateway)
    stream = client.chat.completions.create(model="tutor", messages=ask("HANG"), stream=True)
    next(iter(stream))
    gateway.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "Shutting down" in gateway.log)
    assert gateway.process.poll() is None
    started_s = time.monotonic()
    gateway.process.send_signal(signal.SIGTERM)
    assert gateway.process.wait(AT_ONCE_S) == 0, f"it took {time.monotonic() - started_s:.1f} s"
    assert not engine.is_running()


def test_a_gateway_that_is_killed_leaves_no_engine(gateway: RunningGateway, client: openai.OpenAI) -> None:
    engine = engine_process(gateway)
    client.chat.completions.create(model="tutor", messages=ask("Hello"))
    gateway.process.kill()
    wait_until(lambda: not _runs(engine), patience_s=5)


def test_an_engine_that_is_killed_under_a_stream_is_one_terminal_event_and_a_restart(
    gateway: RunningGateway, client: openai.OpenAI
) -> None:
    body = {"model": "tutor", "messages": ask("slowly"), "stream": True}
    with httpx.stream("POST", f"{gateway.url}/v1/chat/completions", json=body, timeout=PATIENCE_S) as response:
        lines = response.iter_lines()
        events = [next(lines)]
        engine_process(gateway).kill()
        events.extend(line for line in lines if line.startswith("data: "))
    assert '"code":"engine_crashed"' in events[-1]
    assert sum('"error"' in event for event in events) == 1
    assert not any("[DONE]" in event or '"finish_reason":"' in event for event in events)

    unready = gateway.get("/ready")
    assert unready.status_code == 503
    assert "SIGKILL" in unready.text
    assert gateway.get("/health").status_code == 200
    wait_until(lambda: gateway.get("/ready").status_code == 200)
    assert 'gateway_engine_restarts_total{reason="sigkill",role="incumbent"} 1.0' in gateway.get("/metrics").text
    answer = client.chat.completions.create(model="tutor", messages=ask("Hello"))
    assert answer.choices[0].message.content == "All is well."


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
