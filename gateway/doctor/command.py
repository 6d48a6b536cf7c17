"""`gateway doctor`: what is wrong here, and what to do; `--deep` finds out by running engines.

The exit status is 1 where something is a failure, or a deep check failed, or the settings are wrong; else 0.
"""

import asyncio
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console

from gateway.doctor.deep_run import CheckOutcome, CheckResult, patient_of, run_checks
from gateway.doctor.examination import examine
from gateway.doctor.finding import Finding, Health, refusal
from gateway.doctor.machine import Probe, probe_device
from gateway.doctor.report import DeepReport, make_report, write_report
from gateway.doctor.show import show, summary_of
from gateway.errors import StartError
from gateway.fleet.memory import MachineMemory
from gateway.host import read_host
from gateway.settings import LogSettings, Settings
from gateway.settings_flags import load, takes_settings
from gateway.status_cli import Form, form_option
from gateway.telemetry.logs import set_up_logging


@click.command("doctor")
@takes_settings
@click.option("--prometheus", "prometheus_url", help="URL of the Prometheus to ask; else one on this machine, if any.")
@click.option(
    "--deep", is_flag=True, help="Run engines: batching, cancellation, swaps, scoring, memory. Takes minutes."
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --deep: where its report is written, as .md and .json; else in this directory.",
)
@form_option
def doctor_command(
    config: Path | None, *, prometheus_url: str | None, deep: bool, report: Path | None, form: Form, **flags: object
) -> None:
    """Check machine, model, memory, port, state and keys; say what to do. Changes nothing, serves nothing.

    With --deep a tiny model is made and its engines are run, or those of --model.
    """
    if report is not None and not deep:
        raise click.UsageError("--report is of --deep.")
    set_up_logging(LogSettings(level="error"))
    try:
        settings = load(config, flags).settings
    except StartError as error:
        _finish([refusal("settings", error)], form)
        raise SystemExit(1) from None
    if deep:
        path = report or Path(f"gateway-doctor-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.md")
        if not os.access(path.absolute().parent, os.W_OK):  # the checks take minutes, and this is known before
            raise StartError(f"the report cannot be written to {path}: name another with --report")
        model_given = flags["model"] is not None
        made = asyncio.run(_deep(settings, prometheus_url, model_given=model_given, form=form))
        _end_deep(made, path, form)
        failed = made.failed or summary_of(made.findings).health is Health.FAILURE
    else:
        findings = asyncio.run(examine(settings, environ=os.environ, prometheus_url=prometheus_url))
        _finish(findings, form)
        failed = summary_of(findings).health is Health.FAILURE
    raise SystemExit(1 if failed else 0)


def _finish(findings: list[Finding], form: Form) -> None:
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(summary_of(findings)), indent=2))
    else:
        show(findings)


async def _deep(settings: Settings, prometheus_url: str | None, *, model_given: bool, form: Form) -> DeepReport:
    probe = await probe_device()
    findings = await examine(settings, environ=os.environ, prometheus_url=prometheus_url, probe=probe)
    if form == "table":
        show(findings)
    if not isinstance(probe, Probe):
        raise StartError(f"MLX does not run here, so no engine does: {probe}")
    say = Console(stderr=True, highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="gateway-doctor-") as directory:
        patient = await patient_of(settings, probe, model_given=model_given, work_dir=Path(directory))
        checks = await run_checks(
            patient,
            on_begin=lambda name: say.print(f"{name} ...", markup=False),
            on_result=lambda result: say.print(_line(result), markup=False),
        )
    host = await read_host(MachineMemory(settings).machine.limit_bytes)
    return make_report(
        host=host,
        probe=probe,
        engine=patient.engine,
        checks=checks,
        findings=findings,
        settings=settings,
        prometheus_url=prometheus_url,
    )


def _line(result: CheckResult) -> str:
    seen = result.detail or ", ".join(f"{name} {value}" for name, value in result.evidence.items())
    took = f" ({result.duration_s:.1f} s)" if result.outcome is not CheckOutcome.NOT_RUN else ""
    return f"{result.check} {result.outcome}{took}: {seen}"


def _end_deep(report: DeepReport, path: Path, form: Form) -> None:
    try:
        written = write_report(report, path)
    except OSError as error:
        raise StartError(
            f"the report cannot be written to {path} ({error.strerror}): name another with --report"
        ) from error
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2))
    else:
        click.echo(f"Report: {written[0]} and {written[1]}")
