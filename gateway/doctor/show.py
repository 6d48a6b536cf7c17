"""Findings for a person at a terminal, for a log, and for a script."""

from collections import Counter
from collections.abc import Sequence

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.doctor.finding import Finding, Health

_STYLES = {Health.OK: "green", Health.WARNING: "yellow", Health.FAILURE: "bold red", Health.NOT_CHECKED: "dim"}


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What `--format json` prints."""

    health: Health
    """The worst of all; `ok` where nothing could be checked."""
    findings: tuple[Finding, ...]


def summary_of(findings: Sequence[Finding]) -> Summary:
    seen = {finding.health for finding in findings}
    worst = next((health for health in (Health.FAILURE, Health.WARNING) if health in seen), Health.OK)
    return Summary(health=worst, findings=tuple(findings))


def counts_of(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.health for finding in findings)
    return ", ".join(f"{counts[health]} {health}" for health in Health if counts[health])


def show(findings: Sequence[Finding]) -> None:
    """Print a table on a terminal, and a line for each finding elsewhere."""
    console = Console(highlight=False)
    if not console.is_terminal:
        for line in lines_of(findings):
            click.echo(line)
        return
    table = Table(box=None, pad_edge=False)
    for name in ("check", "", "what was seen, and what to do"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        text = Text(finding.detail)
        if finding.remedy:
            text.append(f"\n{finding.remedy}", style="italic")
        table.add_row(Text(finding.check), Text(finding.health, style=_STYLES[finding.health]), text)
    console.print(table)
    console.print(counts_of(findings), markup=False)


def lines_of(findings: Sequence[Finding]) -> list[str]:
    """Return a line for each finding, and one that counts them."""
    width = max((len(finding.check) for finding in findings), default=0)
    remedies = (f" -> {finding.remedy}" if finding.remedy else "" for finding in findings)
    lines = [
        f"{finding.health:<11}  {finding.check:<{width}}  {finding.detail}{remedy}"
        for finding, remedy in zip(findings, remedies, strict=True)
    ]
    return [*lines, counts_of(findings)]
