"""`canary selftest`: the judge tried on this machine, as a table of what was planted and what was found."""

import itertools
import os
from pathlib import Path

import click
from rich.console import Console

from canary.client import GatewayClient
from canary.errors import ExitCode
from canary.progress import RunProgress
from canary.report.table import Table
from canary.report.terminal import print_table
from canary.selftest import Finding, against_itself, golden_programs, planted_faults
from canary.suite import default_search_path, load_suite
from canary.workflow import find_deployment


@click.command("selftest")
@click.option("--model", metavar="MODEL", help="A directory to build of; by default the embedded model.")
@click.option("--suite", default="smoke", show_default=True, help="For the model that serves, against itself.")
@click.option("--for", "deployed", metavar="MODEL", help="The public model; optional where there is one.")
@click.option("--gateway", "url", envvar="GATEWAY_URL", default="http://127.0.0.1:8080", show_default=True)
def selftest_command(*, model: str | None, suite: str, deployed: str | None, url: str) -> ExitCode:
    """Have the judge find planted faults, and find none where there is none.

    Trains a small adapter (minutes on two cores), builds a sound model and five broken ones, and judges them and the
    model that serves. Exit status 0 where all is as it must be, 10 where not.
    """
    search_path = default_search_path(os.environ)
    chosen = load_suite(suite, search_path=search_path)
    goldens = golden_programs(list(search_path))
    source = str(Path(model).resolve()) if model is not None and Path(model).is_dir() else model
    progress = RunProgress(Console(stderr=True))
    findings: list[Finding] = []
    with GatewayClient(url, api_key=os.environ.get("GATEWAY_API_KEY")) as gateway, progress:
        deployment = find_deployment(gateway, deployed)
        sound = against_itself(gateway, deployment, chosen, progress)
        try:
            for finding in itertools.chain(sound, planted_faults(gateway, deployment, source, goldens, progress)):
                findings.append(finding)
                progress.note(f"{finding.planted}: {finding.found}")
        finally:
            # What was found before something broke took minutes, and may say what.
            _show(findings)
    return ExitCode.PASSED if all(finding.as_it_must_be for finding in findings) else ExitCode.FAILED


_PLAIN_WIDTH = 140


def _show(findings: list[Finding]) -> None:
    output = Console()
    print_table(findings_table(findings), output if output.is_terminal else Console(width=_PLAIN_WIDTH))


def findings_table(findings: list[Finding]) -> Table:
    return Table(
        title="Self-test",
        header=("Planted", "Must be", "Found", "As it must be", "Built in", "Judged in"),
        rows=tuple(
            (
                finding.planted,
                finding.expected,
                finding.found,
                "yes" if finding.as_it_must_be else "NO",
                _seconds(finding.build_s),
                _seconds(finding.judge_s),
            )
            for finding in findings
        ),
        notes=(),
    )


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} s"
