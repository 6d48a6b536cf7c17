"""A swap and the state of things, as HTTP clients and the command line see them."""

import json
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from gateway.settings import EngineSettings, ServerSettings, Settings
from tests.support.programs import run, wait_until
from tests.support.scripted_model import write_scripted_model
from tests.support.served import Served, serving
from tests.support.swapping import ROOM_FOR_ONE, SIZE


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("swap")


@pytest.fixture(scope="module")
def served(home: Path) -> Generator[Served]:
    settings = Settings(
        state_dir=str(home),
        memory=ROOM_FOR_ONE,
        engine=EngineSettings(stop_timeout_s=2),
        server=ServerSettings(keep_alive_interval_s=0.05),
    )
    with serving(settings, [write_scripted_model(home / "tutor", SIZE + 'default_text = "old"')]) as served:
        yield served


@pytest.fixture
def http(served: Served) -> Generator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=30) as http:
        yield http


def shown(served: Served, home: Path, *arguments: str) -> str:
    ended = run("gateway", *arguments, "--gateway", served.url, cwd=home)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_stream_that_waits_for_a_swap_is_kept_alive_and_names_who_answers_when_that_is_known(
    http: httpx.Client, served: Served, home: Path
) -> None:
    slow = write_scripted_model(home / "new", SIZE + 'default_text = "new"\nload_delay_s = 1.0')
    new = http.post("/admin/variants", json={"source": str(slow)}).raise_for_status().json()
    before = http.get("/admin/deployments/tutor").json()
    order = {"model": "tutor", "expected_revision": before["revision"], "variant": new["digest"]}
    with ThreadPoolExecutor() as pool:
        promotion = pool.submit(http.post, "/admin/promotions", json=order | {"override_reason": "a test"})
        wait_until(lambda: http.get("/admin/status").json()["deployments"][0]["changing"])
        assert "requests wait" in http.get("/ready").text
        body = {"model": "tutor", "messages": [{"role": "user", "content": "hello"}], "stream": True}
        with httpx.stream("POST", f"{served.url}/v1/chat/completions", json=body, timeout=30) as stream:
            lines = [line for line in stream.iter_lines() if line]
        assert promotion.result(30).status_code == 200
    assert lines[0] == ": keep-alive"
    assert "x-gateway-variant" not in stream.headers
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert lines[-1] == "data: [DONE]"
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == "new"
    assert {chunk["system_fingerprint"] for chunk in chunks} == {new["digest"][:12]}
    back = {"model": "tutor", "expected_revision": before["revision"] + 1, "rollback": True}
    rolled_back = http.post("/admin/promotions", json=back).raise_for_status().json()
    assert rolled_back["deployment"]["incumbent"] == before["incumbent"]
    answer = http.post("/v1/chat/completions", json=body | {"stream": False})
    assert answer.headers["x-gateway-variant"] == served.references["tutor"]
    assert answer.json()["choices"][0]["message"]["content"] == "old"


def test_status_and_engines_are_shown_to_a_person(served: Served, home: Path) -> None:
    status, engines = shown(served, home, "status"), shown(served, home, "engines")
    for output in (status, engines):
        assert served.references["tutor"] in output
        assert "ready" in output
        assert "0/16" in output
    assert "planned" in status
    assert "revision" in status


def test_status_and_engines_are_shown_to_a_script(served: Served, http: httpx.Client, home: Path) -> None:
    status = json.loads(shown(served, home, "status", "--format", "json"))
    (engine,) = json.loads(shown(served, home, "engines", "--format", "json"))
    assert engine["pid"] == http.get("/admin/engines").json()[0]["pid"]
    (deployment,) = status["deployments"]
    assert (deployment["model"], deployment["incumbent"]) == ("tutor", served.references["tutor"])
    assert deployment["engine_digest"] == engine["engine_digest"]
    assert (deployment["problem"], deployment["changing"], deployment["on_demand"]) == ("", False, False)
    memory = status["memory"]
    assert memory["limit_bytes"] == ROOM_FOR_ONE.recommended_working_set_bytes
    assert 0 < memory["planned_bytes"] <= memory["limit_bytes"]
    assert status["queued"] == {"interactive": 0, "batch": 0, "evaluation": 0}
    assert status["uptime_s"] > 0


@pytest.mark.parametrize("command", ["status", "engines"])
def test_a_gateway_that_cannot_be_reached_is_one_line(tmp_path: Path, command: str) -> None:
    ended = run("gateway", command, "--gateway", "http://127.0.0.1:9", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "gateway: No gateway answers at http://127.0.0.1:9; start one with `gateway serve`, or name another with"
        " --gateway.\n"
    )


def test_an_address_that_is_none_is_one_line(tmp_path: Path) -> None:
    ended = run("gateway", "status", cwd=tmp_path, environ={"GATEWAY_URL": "localhost:8080"})
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "must start with http://" in ended.stderr
