"""How `gateway serve` and its engines end: by a signal, by a crash, by having been killed."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import openai
import psutil
import pytest
from openai.types.chat import ChatCompletionMessageParam

from gateway.fleet.leftovers import Leftovers
from tests.support.programs import PATIENCE_S, RunningGateway, environment, gateway_serving, program, wait_until
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
    with gateway_of(tmp_path) as gateway:
        yield gateway


def gateway_of(home: Path, **environ: str) -> AbstractContextManager[RunningGateway]:
    quick = {"GATEWAY__ENGINE__RESTART_BACKOFF_INITIAL_S": "1", "GATEWAY__ENGINE__STOP_TIMEOUT_S": "1"}
    model = write_scripted_model(home / "tutor", MODEL)
    return gateway_serving(home, "--model", model, environ=quick | environ)


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


def test_who_has_not_ended_at_the_limit_of_the_drain_is_told(tmp_path: Path) -> None:
    one_row = {"GATEWAY__ENGINE__MAX_ROWS": "1", "GATEWAY__SERVER__DRAIN_TIMEOUT_S": "1"}
    with gateway_of(tmp_path, **one_row) as gateway, ThreadPoolExecutor() as pool:
        body = {"model": "tutor", "messages": ask("HANG")}
        url = f"{gateway.url}/v1/chat/completions"
        with httpx.stream("POST", url, json=body | {"stream": True}, timeout=PATIENCE_S) as stream:
            lines = stream.iter_lines()
            next(lines)
            waiting = pool.submit(httpx.post, url, json=body, timeout=PATIENCE_S)
            wait_until(lambda: gateway.get("/admin/engines").json()[0]["queued"] == 1)
            gateway.process.send_signal(signal.SIGTERM)
            events = [line for line in lines if line.startswith("data: ")]
        refused = waiting.result(PATIENCE_S)
        assert '"code":"shutting_down"' in events[-1]
        assert sum('"error"' in event for event in events) == 1
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        assert int(refused.headers["retry-after"]) >= 1
        assert gateway.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_model_loads_ends_with_0_and_the_start_has_ended_what_a_crash_left(
    tmp_path: Path, number: signal.Signals
) -> None:
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Leftovers(tmp_path / "state").note(orphan.pid)
    slow = write_scripted_model(tmp_path / "tutor", "load_delay_s = 60.0")
    command = [program("gateway"), "serve", "--port", "0", "--state-dir", tmp_path / "state", "--model", slow]
    process = subprocess.Popen(command, env=environment(tmp_path), stderr=subprocess.DEVNULL)
    try:
        notes = tmp_path / "state" / "engines"
        assert orphan.wait(PATIENCE_S) == -signal.SIGKILL
        wait_until(lambda: any(notes.iterdir()))
        engine = psutil.Process(int(next(notes.iterdir()).stem))
        process.send_signal(number)
        assert process.wait(AT_ONCE_S) == 0
        assert not _runs(engine)
        assert list(notes.iterdir()) == []
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends it")
def test_an_engine_that_is_stopped_or_hangs_does_not_outlive_a_gateway_that_is_killed(
    gateway: RunningGateway, client: openai.OpenAI
) -> None:
    engine = engine_process(gateway)
    stream = client.chat.completions.create(model="tutor", messages=ask("HANG"), stream=True)
    next(iter(stream))
    engine.suspend()
    gateway.process.kill()
    wait_until(lambda: not _runs(engine), patience_s=5)


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
    assert 'gateway_engine_failures_total{reason="killed",role="incumbent"} 1.0' in gateway.get("/metrics").text
    (line,) = [line for line in gateway.log.splitlines() if "engine_failed" in line]
    told = json.loads(line)
    assert (told["reason"], told["signal_name"], told["role"], told["loading"]) == (
        "killed",
        "SIGKILL",
        "incumbent",
        False,
    )
    assert (told["request_count"], told["restart_in_s"] > 0) == (1, True)
    assert told["memory"]["active_bytes"] > 0
    answer = client.chat.completions.create(model="tutor", messages=ask("Hello"))
    assert answer.choices[0].message.content == "All is well."


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
