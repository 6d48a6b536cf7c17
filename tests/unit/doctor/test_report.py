"""The report of a deep examination: complete, readable, and without what is nobody else's business."""

import socket
from pathlib import Path

import msgspec
import pytest

from gateway.doctor.deep_run import CheckOutcome, CheckResult
from gateway.doctor.finding import failure, ok
from gateway.doctor.machine import Probe
from gateway.doctor.report import DeepReport, make_report, markdown_of, write_report
from gateway.settings import ServerSettings, Settings
from tests.support.evaluations import make_host, make_variant

PROBE = Probe(device="cpu", chip="x", recommended_working_set_bytes=None, mlx="0.32", mlx_lm="0.33")
PASSED = CheckResult(check="batching", outcome=CheckOutcome.PASSED, duration_s=1.25, evidence={"mean_rows": 3.5})
FAILED = CheckResult(check="scoring", outcome=CheckOutcome.FAILED, detail="a | b", duration_s=2.0)


def report_of(*checks: CheckResult, detail: str = "fine") -> DeepReport:
    return make_report(
        host=make_host(),
        probe=PROBE,
        engine=make_variant("m").engine,
        checks=checks,
        findings=[ok("state directory", detail), failure("port", "taken", "stop it")],
        settings=Settings(state_dir="/s", server=ServerSettings(host="models.example.org")),
        prometheus_url="http://watch.example.org:9090",
    )


def test_it_says_what_was_run_on_what_and_how_it_ended() -> None:
    text = markdown_of(report_of(PASSED, FAILED))
    assert "mlx 0.32, mlx-lm 0.33" in text
    assert "| batching | passed | 1.2 | mean_rows 3.5 |" in text
    assert "| scoring | failed | 2.0 | a \\| b |" in text
    assert "| port | failure | taken | stop it |" in text


def test_it_failed_where_a_check_did() -> None:
    assert (report_of(PASSED).failed, report_of(PASSED, FAILED).failed) == (False, True)


def test_home_and_hosts_are_named_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "alices-mac.local")
    monkeypatch.setattr(Path, "home", lambda: Path("/Users/alice"))
    hosts = "models.example.org:8080, alices-mac, alices-mac.local, watch.example.org"
    seen = f"/Users/alice/models at {hosts}, /Users/alicent"
    report = report_of(detail=seen)
    assert report.findings[0].detail == "~/models at (host):8080, (host), (host), (host), /Users/alicent"


def test_it_is_written_twice_and_reads_back(tmp_path: Path) -> None:
    report = report_of(PASSED)
    markdown, data = write_report(report, tmp_path / "bug.md")
    assert (markdown.name, data.name) == ("bug.md", "bug.json")
    assert msgspec.json.decode(data.read_bytes(), type=DeepReport) == report
