"""`gateway doctor` as a person runs it: beside a gateway, without one, and deep."""

import json
import re
import socket
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from tests.conftest import require_program
from tests.support.in_process import called
from tests.support.programs import RunningGateway, gateway_serving, run, wait_until
from tests.support.prometheus import prometheus_scraping
from tests.support.scripted_model import write_scripted_model
from tests.support.served import SCRIPTED

TUTOR = SCRIPTED / "tutor"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    with gateway_serving(tmp_path_factory.mktemp("gateway"), "--model", TUTOR) as gateway:
        yield gateway


def examined(home: Path, *arguments: str | Path, status: int = 0) -> dict[str, dict[str, str]]:
    """Return the findings by check."""
    ended = run("gateway", "doctor", "--format", "json", *arguments, cwd=home)
    assert ended.returncode == status, ended.stdout + ended.stderr
    findings = json.loads(ended.stdout)["findings"]
    assert all(it["remedy"] for it in findings if it["health"] in {"warning", "failure"})
    return {finding["check"]: finding for finding in findings}


def test_a_running_gateway_is_found_with_what_it_serves(gateway: RunningGateway) -> None:
    port = gateway.url.rpartition(":")[2]
    found = examined(gateway.home, "--port", port, "--state-dir", gateway.home / "state")
    assert found["port"]["detail"] == f"127.0.0.1:{port} is this gateway's"
    assert found["running gateway"]["health"] == "ok"
    assert found["registry"]["detail"].endswith("1 deployments, 1 variants, 0 keys")
    assert found["model tutor"]["health"] == found["memory of engines"]["health"] == "ok"
    assert f"process {gateway.process.pid}" in found["state directory"]["detail"]


def test_a_real_prometheus_is_asked_whether_it_scrapes_this_gateway(gateway: RunningGateway, tmp_path: Path) -> None:
    port = gateway.url.rpartition(":")[2]
    place = ["--port", port, "--state-dir", gateway.home / "state"]
    with prometheus_scraping(require_program("prometheus"), gateway.url, tmp_path) as prometheus:
        wait_until(lambda: any(it["health"] == "up" for it in prometheus.ask("/targets")["activeTargets"]))
        found = examined(gateway.home, *place, "--prometheus", prometheus.url)
    assert (found["prometheus"]["health"], found["prometheus rules"]["health"]) == ("ok", "ok")


def test_without_a_gateway_nothing_is_made_and_the_exit_status_is_0(tmp_path: Path) -> None:
    ended = run("gateway", "doctor", "--port", "0", "--model", TUTOR, "--state-dir", tmp_path / "state", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()
    assert any(re.match(r"ok +model tutor +", line) for line in lines)
    assert re.fullmatch(r"\d+ ok, (\d+ warning, )?\d+ not checked", lines[-1])
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_exit_status_1_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = examined(tmp_path, "--port", port, "--model", "./none", "--state-dir", tmp_path / "s", status=1)
    assert [found[check]["health"] for check in ("port", "model none")] == ["failure", "failure"]


def test_a_wrong_setting_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("[server]\nport = 99999\n")
    code, said = called(main, "doctor", "--config", "gateway.toml", "--format", "json", cwd=tmp_path)
    (finding,) = json.loads(said)["findings"]
    assert (code, finding["check"], "server.port" in finding["detail"]) == (1, "settings", True)
    assert finding["remedy"]


def test_deep_runs_engines_of_the_model_that_is_named_and_writes_what_it_saw(tmp_path: Path) -> None:
    text = "It was a dark and stormy night. " * 80
    model = write_scripted_model(tmp_path / "model", f'step_delay_s = 0.002\ndefault_text = "{text}"\n')
    options = ["--port", "0", "--model", model, "--state-dir", tmp_path / "state", "--report", tmp_path / "bug.md"]
    ended = run("gateway", "doctor", "--deep", *options, cwd=tmp_path, timeout_s=180)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report: dict[str, Any] = json.loads((tmp_path / "bug.json").read_text())
    outcomes = {check["check"]: check["outcome"] for check in report["checks"]}
    needs_metal = {"weights", "wired_limit"} if sys.platform != "darwin" else set[str]()
    assert {name for name, outcome in outcomes.items() if outcome == "not run"} == needs_metal
    assert {outcome for name, outcome in outcomes.items() if name not in needs_metal} == {"passed"}
    assert "batching passed" in ended.stderr
    said = (tmp_path / "bug.md").read_text() + json.dumps(report) + ended.stdout + ended.stderr
    assert "stormy" not in said
    assert socket.gethostname() not in said
    assert not (tmp_path / "state").exists()


def test_deep_fails_where_a_check_does(tmp_path: Path) -> None:
    model = write_scripted_model(tmp_path / "model", 'load_failure = "the disk is gone"\n')
    options = ["--port", "0", "--model", model, "--state-dir", tmp_path / "state", "--report", tmp_path / "bug"]
    ended = run("gateway", "doctor", "--deep", "--format", "json", *options, cwd=tmp_path, timeout_s=120)
    assert ended.returncode == 1
    failed = [check for check in json.loads(ended.stdout)["checks"] if check["outcome"] == "failed"]
    assert len(failed) == 6
    assert all("the disk is gone" in check["detail"] for check in failed)


def test_a_report_is_of_deep_only(tmp_path: Path) -> None:
    code, said = called(main, "doctor", "--report", "x.md", cwd=tmp_path)
    assert (code, "--report is of --deep" in said) == (2, True)


def test_a_report_that_could_not_be_written_is_refused_before_the_checks(tmp_path: Path) -> None:
    code, said = called(main, "doctor", "--deep", "--report", "none/x.md", cwd=tmp_path)
    assert (code, "name another with --report" in said) == (1, True)
