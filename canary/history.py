"""Print what happened to a model: its evaluations, and each change of its incumbent."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from gateway.contracts.admin import EvaluationSummary
from gateway.contracts.deployments import Promotion
from gateway.contracts.digests import short


def render_history(promotions: Sequence[Promotion], evaluations: Sequence[EvaluationSummary], console: Console) -> None:
    """Print both lists, in the order given."""
    runs = Table(title="Evaluations", title_justify="left")
    for column in ("id", "at", "suite", "incumbent", "candidates"):
        runs.add_column(column, overflow="fold")
    for run in evaluations:
        candidates = "\n".join(f"{candidate.reference}: {candidate.outcome}" for candidate in run.candidates)
        runs.add_row(run.id, run.created_at, run.suite, run.incumbent, candidates)
    changes = Table(title="Changes of the incumbent", title_justify="left")
    for column in ("revision", "at", "kind", "outcome", "from", "to", "because of"):
        changes.add_column(column, overflow="fold")
    for change in promotions:
        changes.add_row(
            str(change.revision),
            change.at,
            change.kind,
            change.outcome,
            short(change.from_variant) if change.from_variant else "",
            short(change.to_variant),
            "\n".join(filter(None, (change.evaluation_id, change.reason))),
        )
    for table in (runs, changes):
        console.print(table if table.row_count else f"{table.title}: none", markup=False)
