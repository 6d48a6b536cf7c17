"""The report of a deep examination, to attach to a bug: versions, machine, findings, checks and their evidence.

It names no key, no host, no home directory and nothing that a model said.
"""

import platform
import re
import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import msgspec

from gateway.contracts.host import Host
from gateway.contracts.variants import EngineKind, EngineSpec, Quantization
from gateway.doctor.deep_run import CheckOutcome, CheckResult
from gateway.doctor.finding import Finding
from gateway.doctor.machine import Probe
from gateway.doctor.show import counts_of
from gateway.settings import Settings


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    gateway: str
    python: str
    mlx: str
    mlx_lm: str


class ModelAbout(msgspec.Struct, frozen=True, kw_only=True):
    """What of a model its behaviour on a machine depends on."""

    kind: EngineKind
    quantization: Quantization | None
    context_length: int
    max_rows: int
    weights_bytes: int
    kv_bytes_per_token: int


class DeepReport(msgspec.Struct, frozen=True, kw_only=True):
    at: str
    versions: Versions
    host: Host
    device: str
    """`metal` or `cpu`."""
    model: ModelAbout
    checks: tuple[CheckResult, ...]
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        return any(check.outcome is CheckOutcome.FAILED for check in self.checks)


def make_report(
    *,
    host: Host,
    probe: Probe,
    engine: EngineSpec,
    checks: Sequence[CheckResult],
    findings: Sequence[Finding],
    settings: Settings,
    prometheus_url: str | None,
) -> DeepReport:
    report = DeepReport(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=Versions(
            gateway=version("gateway-canary"), python=platform.python_version(), mlx=probe.mlx, mlx_lm=probe.mlx_lm
        ),
        host=host,
        device=probe.device,
        model=ModelAbout(**{field: getattr(engine, field) for field in ModelAbout.__struct_fields__}),
        checks=tuple(checks),
        findings=tuple(findings),
    )
    return redacted(report, _private_names(settings.server.host, urlsplit(prometheus_url or "").hostname or ""))


def write_report(report: DeepReport, path: Path) -> tuple[Path, Path]:
    """Write it as Markdown and as JSON, under one name with two endings, and return both paths. Raises OSError."""
    markdown, data = path.with_suffix(".md"), path.with_suffix(".json")
    markdown.write_text(markdown_of(report), encoding="utf-8")
    data.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    return markdown, data


def markdown_of(report: DeepReport) -> str:
    return "\n".join([*_head(report), "", *_checks(report.checks), "", *_findings(report.findings), ""])


def redacted(report: DeepReport, names: dict[str, str]) -> DeepReport:
    """Return it with each of these names replaced, wherever it stands in a text."""
    return msgspec.convert(_replaced(msgspec.to_builtins(report), names), DeepReport)


def _private_names(*hosts: str) -> dict[str, str]:
    """Return what tells of a person or a network, and what stands for it; the longest first."""
    own = socket.gethostname()
    names = {name: "(host)" for name in (own, own.partition(".")[0], *hosts) if name and not _is_address_or_local(name)}
    return {str(Path.home()): "~", **dict(sorted(names.items(), key=lambda item: -len(item[0])))}


def _is_address_or_local(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _replaced(value: object, names: dict[str, str]) -> object:
    if isinstance(value, str):
        for name, stand_in in names.items():
            value = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", stand_in, value)
        return value
    if isinstance(value, dict):
        return {key: _replaced(part, names) for key, part in cast("dict[str, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_replaced(part, names) for part in cast("list[object]", value)]
    return value


def _head(report: DeepReport) -> Iterator[str]:
    model, host, versions = report.model, report.host, report.versions
    stored = f"{model.quantization.bits} bits" if model.quantization else "float"
    state = [host.state.power_source or "power source unknown", host.state.thermal_state or "heat unknown"]
    yield "# gateway doctor --deep"
    yield ""
    yield f"- at: {report.at}"
    yield f"- gateway {versions.gateway}, Python {versions.python}, mlx {versions.mlx}, mlx-lm {versions.mlx_lm}"
    yield f"- machine: {host.chip}, {host.memory_bytes} bytes, {host.os_version}; {', '.join(state)}"
    yield f"- device: {report.device}, limit {host.limit_bytes} bytes"
    yield f"- model: {model.kind}, {stored}, {model.weights_bytes} bytes of weights"
    yield f"- a token: {model.kv_bytes_per_token} bytes; context: {model.context_length}; rows: {model.max_rows}"


def _checks(checks: Sequence[CheckResult]) -> Iterator[str]:
    yield "| check | outcome | seconds | what was seen |"
    yield "|---|---|---:|---|"
    for check in checks:
        seen = "; ".join(filter(None, (check.detail, ", ".join(f"{k} {v}" for k, v in check.evidence.items()))))
        yield f"| {check.check} | {check.outcome} | {check.duration_s:.1f} | {_cell(seen)} |"


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    yield f"Findings: {counts_of(findings)}"
    yield ""
    yield "| finding | | what was seen | what to do |"
    yield "|---|---|---|---|"
    for finding in findings:
        yield f"| {finding.check} | {finding.health} | {_cell(finding.detail)} | {_cell(finding.remedy)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
