"""Who has the port, and whether a Prometheus watches the gateway: asked of servers that answer as each would."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.doctor.finding import Finding, Health
from gateway.doctor.prometheus import examine_prometheus
from gateway.doctor.reach import examine_port, find_gateway, url_of
from gateway.settings import ServerSettings

RULES = {"groups": [{"rules": [{"query": "rate(gateway_requests_total[5m])"}, {"query": "up"}]}]}


@contextmanager
def answering(answers: dict[str, Any]) -> Generator[int]:
    """Serve each path's answer as JSON, and 404 for the rest; give the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            self.send_response(200 if answer is not None else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answer, separators=(",", ":")).encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def gateway_that(*, ready: bool, version: str = "0.1.0") -> dict[str, Any]:
    return {
        "/health": {"status": "alive"},
        "/openapi.json": {"info": {"title": "gateway", "version": version}},
        "/ready": {"ready": ready, "detail": "ready" if ready else "m: loading"},
    }


def prometheus_with(*targets: dict[str, str], rules: dict[str, Any] = RULES) -> dict[str, Any]:
    return {"/api/v1/targets": {"data": {"activeTargets": targets}}, "/api/v1/rules": {"data": rules}}


async def port_findings(port: int, *, holder: int | None = 1) -> dict[str, Finding]:
    server = ServerSettings(port=port)
    running = await find_gateway(server)
    return {finding.check: finding for finding in examine_port(server, running, holder=holder)}


# --- the port ---


@pytest.mark.anyio
async def test_a_gateway_of_ours_has_the_port_and_that_is_fine() -> None:
    with answering(gateway_that(ready=True)) as port:
        found = await port_findings(port)
    assert {finding.health for finding in found.values()} == {Health.OK}


@pytest.mark.anyio
async def test_a_gateway_of_another_state_directory_has_the_port_and_this_one_would_not_start() -> None:
    with answering(gateway_that(ready=True)) as port:
        found = await port_findings(port, holder=None)
    assert (found["port"].health, "--state-dir" in found["port"].remedy) == (Health.FAILURE, True)


@pytest.mark.anyio
async def test_a_gateway_that_is_not_ready_or_not_what_is_installed_is_a_warning() -> None:
    with answering(gateway_that(ready=False, version="0.0.1")) as port:
        found = await port_findings(port)
    assert [found[check].health for check in ("port", "running gateway", "version")] == [
        Health.OK,
        Health.WARNING,
        Health.WARNING,
    ]


@pytest.mark.anyio
async def test_a_gateway_that_does_not_say_its_version_is_found_all_the_same() -> None:
    answers = gateway_that(ready=True)
    del answers["/openapi.json"]
    with answering(answers) as port:
        found = await port_findings(port)
    assert (found["port"].health, found["version"].health) == (Health.OK, Health.NOT_CHECKED)


@pytest.mark.anyio
async def test_another_program_on_the_port_is_a_failure_that_names_it() -> None:
    with answering({"/health": {"status": "another"}}) as port:
        found = await port_findings(port)
    assert (found["port"].health, "taken by" in found["port"].detail) == (Health.FAILURE, True)


def test_a_free_port_is_ok_and_an_address_of_another_machine_is_not() -> None:
    assert next(examine_port(ServerSettings(port=0), None, holder=None)).health is Health.OK
    finding = next(examine_port(ServerSettings(host="192.0.2.1", port=8080), None, holder=None))
    assert (finding.health, "taken" in finding.detail) == (Health.FAILURE, False)


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:8080"), ("::", "http://[::1]:8080"), ("10.0.0.1", "http://10.0.0.1:8080")],  # noqa: S104
)
def test_what_is_bound_everywhere_is_asked_here(host: str, url: str) -> None:
    assert url_of(ServerSettings(host=host)) == url


def test_no_gateway_is_no_failure() -> None:
    findings = list(examine_port(ServerSettings(port=0), None, holder=None))
    assert [finding.health for finding in findings] == [Health.OK, Health.NOT_CHECKED]


# --- Prometheus ---


async def prometheus_findings(answers: dict[str, Any]) -> list[Finding]:
    with answering(answers) as port:
        return await examine_prometheus(ServerSettings(), f"http://127.0.0.1:{port}/")


@pytest.mark.anyio
async def test_a_prometheus_that_scrapes_this_gateway_and_has_rules_is_ok() -> None:
    up = {"scrapeUrl": "http://127.0.0.1:8080/metrics", "health": "up"}
    findings = await prometheus_findings(prometheus_with(up))
    assert [finding.health for finding in findings] == [Health.OK, Health.OK]
    assert findings[1].detail == "1 about this gateway"


@pytest.mark.anyio
async def test_every_rule_that_comes_with_the_gateway_is_about_it() -> None:
    files = sorted((Path(__file__).parents[3] / "deploy" / "prometheus" / "rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    queries = [rule["expr"] for group in groups for rule in group["rules"]]
    up = {"scrapeUrl": "http://127.0.0.1:8080/metrics", "health": "up"}
    deployed = {"groups": [{"rules": [{"query": query} for query in queries]}]}
    findings = await prometheus_findings(prometheus_with(up, rules=deployed))
    assert findings[1].detail == f"{len(queries)} about this gateway"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"scrapeUrl": "http://127.0.0.1:9100/metrics", "health": "up"}, "does not scrape"),
        ({"scrapeUrl": "http://192.0.2.7:8080/metrics", "health": "up"}, "does not scrape"),
        ({"scrapeUrl": "http://127.0.0.1:8080/metrics", "health": "down", "lastError": "401"}, "down: 401"),
    ],
    ids=["another port", "another machine", "down"],
)
async def test_a_prometheus_that_does_not_reach_it_is_a_warning(target: dict[str, str], said: str) -> None:
    findings = await prometheus_findings(prometheus_with(target, rules={"groups": []}))
    assert [finding.health for finding in findings] == [Health.WARNING, Health.WARNING]
    assert said in findings[0].detail
    assert findings[0].remedy


@pytest.mark.anyio
async def test_a_server_that_is_no_prometheus_is_a_warning() -> None:
    (finding,) = await prometheus_findings({"/api/v1/targets": ["no data"]})
    assert (finding.health, "does not answer as Prometheus" in finding.detail) == (Health.WARNING, True)


@pytest.mark.anyio
async def test_a_password_in_its_address_is_sent_and_never_shown() -> None:
    up = {"scrapeUrl": "http://127.0.0.1:8080/metrics", "health": "up"}
    with answering(prometheus_with(up)) as port:
        findings = await examine_prometheus(ServerSettings(), f"http://me:very-secret@127.0.0.1:{port}")
        assert [finding.health for finding in findings] == [Health.OK, Health.OK]
    findings += await examine_prometheus(ServerSettings(), "http://me:very-secret@127.0.0.1:1")
    assert "very-secret" not in str(findings)


@pytest.mark.anyio
async def test_no_prometheus_at_all_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.doctor.prometheus.DEFAULT_URL", "http://127.0.0.1:9")
    (finding,) = await examine_prometheus(ServerSettings(), None)
    assert (finding.health, "--prometheus" in finding.remedy) == (Health.NOT_CHECKED, True)
