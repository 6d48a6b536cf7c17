"""Print what happened to a model: its evaluations, and each change of its incumbent."""

from collections.abc import Mapping, Sequence

from rich.console import Console

from canary.report.table import Table
from canary.report.terminal import print_table
from gateway.contracts.admin import EvaluationSummary
from gateway.contracts.deployments import Promotion
from gateway.contracts.digests import short


def render_history(
    promotions: Sequence[Promotion],
    evaluations: Sequence[EvaluationSummary],
    references: Mapping[str, str],
    console: Console,
) -> None:
    """Print both lists, in the order given; `references` has the `name@digest` of the digests that are registered."""
    runs = [
        (
            run.id,
            run.created_at,
            run.suite,
            run.incumbent,
            ", ".join(f"{candidate.reference}: {candidate.outcome}" for candidate in run.candidates),
        )
        for run in evaluations
    ]
    changes = [
        (
            str(change.revision),
            change.at,
            change.kind,
            change.outcome,
            _reference(change.from_variant, references),
            _reference(change.to_variant, references),
            ", ".join(filter(None, (change.evaluation_id, change.reason))),
        )
        for change in promotions
    ]
    _print("Evaluations", ("id", "at", "suite", "incumbent", "candidates"), runs, console)
    header = ("revision", "at", "kind", "outcome", "from", "to", "because of")
    _print("Changes of the incumbent", header, changes, console)


def _reference(digest: str | None, references: Mapping[str, str]) -> str:
    return "" if digest is None else references.get(digest, short(digest))


def _print(title: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]], console: Console) -> None:
    if not rows:
        console.print(f"{title}: none", markup=False)
        return
    print_table(Table(title=title, header=header, rows=tuple(rows)), console)
