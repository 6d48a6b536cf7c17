"""What fidelity shows of the candidates, as a table."""

from collections.abc import Iterator

from canary.report.quantities import percent
from canary.report.systems import Contestant
from canary.report.table import Table
from gateway.contracts.evaluations import Evaluation, Judgement
from gateway.contracts.fidelity import FidelityJudgement, FidelityRecord

_HEADER = (
    "Candidate",
    "Fidelity",
    "Against",
    "KL, nats a token",
    "Same likeliest",
    "Deciding tokens",
    "Flips",
    "Adapter kept",
)


def fidelity_tables(
    evaluation: Evaluation, candidates: tuple[Contestant, ...], judgements: tuple[Judgement, ...]
) -> Iterator[Table]:
    """Yield one table where the fidelity of a candidate was measured."""
    records = {record.variant_digest: record for record in evaluation.fidelity}
    measured = [
        (candidate, records[judgement.variant_digest], judgement.fidelity)
        for candidate, judgement in zip(candidates, judgements, strict=True)
        if judgement.fidelity is not None and judgement.variant_digest in records
    ]
    if measured:
        yield Table(
            title="Fidelity of the builds",
            header=_HEADER,
            rows=tuple(_row(candidate, record, found) for candidate, record, found in measured),
            notes=tuple(note for candidate, record, found in measured for note in _notes(candidate, record, found)),
        )


def _row(candidate: Contestant, record: FidelityRecord, found: FidelityJudgement) -> tuple[str, ...]:
    said = "failed" if found.rejected else "not rejected" if found.answers else "not measured"
    return (
        candidate.label,
        said,
        "its source in float" if record.against == "source" else "the incumbent",
        _figure(found.kl_nats_per_token),
        _share(found.same_top_ratio),
        _share(found.decision_same_top_ratio),
        _share(found.flip_ratio),
        _share(found.retention),
    )


def _notes(candidate: Contestant, record: FidelityRecord, found: FidelityJudgement) -> Iterator[str]:
    for finding in found.findings:
        yield f"{candidate.label}: {finding}."
    if record.detail:
        yield f"{candidate.label}: {record.detail}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value)
