"""Evaluations, each kept as its JSON beside the summary that lists show. Runs inside a transaction."""

import sqlite3

import msgspec

from gateway.contracts.admin import CandidateOutcome, EvaluationSummary
from gateway.contracts.error_codes import ErrorCode
from gateway.contracts.evaluations import Evaluation, Judgement, Metric, System
from gateway.errors import EvaluationInvalid, GateError, NotFound


def add(connection: sqlite3.Connection, evaluation: Evaluation) -> EvaluationSummary:
    summary = _summary(evaluation)
    added = connection.execute(
        "INSERT INTO evaluations (id, model, created_at, summary, content) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO NOTHING",
        (
            evaluation.id,
            evaluation.model,
            evaluation.created_at,
            msgspec.json.encode(summary),
            msgspec.json.encode(evaluation),
        ),
    )
    if added.rowcount == 0:
        raise GateError(
            f"an evaluation {evaluation.id} is recorded already, and none is ever changed: give this one another id",
            code=ErrorCode.EVALUATION_EXISTS,
        )
    return summary


def find(connection: sqlite3.Connection, evaluation_id: str) -> Evaluation:
    """Find by id, or by a prefix that only one has."""
    rows = connection.execute(
        # `substr` and not LIKE: an id may hold LIKE's own characters.
        "SELECT id, content FROM evaluations WHERE substr(id, 1, length(?)) = ? AND ? <> '' ORDER BY id <> ?, sequence",
        (evaluation_id,) * 4,
    ).fetchmany(2)
    if not rows:
        raise NotFound(f"no evaluation {evaluation_id!r} is recorded: see GET /admin/evaluations")
    if len(rows) > 1 and rows[0][0] != evaluation_id:
        raise NotFound(f"several evaluations start with {evaluation_id!r}: give more of the id")
    return msgspec.json.decode(rows[0][1], type=Evaluation)


def summaries(connection: sqlite3.Connection) -> tuple[EvaluationSummary, ...]:
    rows = connection.execute("SELECT summary FROM evaluations ORDER BY sequence DESC")
    return tuple(msgspec.json.decode(summary, type=EvaluationSummary) for (summary,) in rows)


def last(connection: sqlite3.Connection, limit: int) -> tuple[Evaluation, ...]:
    """Return the last of each model and suite, the last recorded at the end; of the newest pairs so many."""
    rows = connection.execute(
        "SELECT content FROM evaluations WHERE sequence IN ("
        " SELECT max(sequence) FROM evaluations GROUP BY model, json_extract(summary, '$.suite')"
        " ORDER BY max(sequence) DESC LIMIT ?) ORDER BY sequence",
        (limit,),
    )
    return tuple(msgspec.json.decode(content, type=Evaluation) for (content,) in rows)


def _summary(evaluation: Evaluation) -> EvaluationSummary:
    if not evaluation.id or not evaluation.systems:
        raise EvaluationInvalid("an evaluation needs an id, and the incumbent as its first system")
    judgements = {judgement.variant_digest: judgement for judgement in evaluation.judgements}
    return EvaluationSummary(
        id=evaluation.id,
        created_at=evaluation.created_at,
        model=evaluation.model,
        suite=evaluation.suite.name,
        incumbent=evaluation.incumbent.variant.reference,
        candidates=tuple(_candidate(system, judgements) for system in evaluation.candidates),
    )


def _candidate(system: System, judgements: dict[str, Judgement]) -> CandidateOutcome:
    judgement = judgements.get(system.variant.digest)
    if judgement is None:
        raise EvaluationInvalid(f"the evaluation has no judgement of its candidate {system.variant.reference}")
    overall = (each for each in judgement.comparisons if each.metric is Metric.ACCURACY and each.category is None)
    accuracy = next(overall, None)
    return CandidateOutcome(
        reference=system.variant.reference,
        outcome=judgement.verdict.outcome,
        accuracy=accuracy.candidate.value if accuracy else None,
        difference=accuracy.difference if accuracy else None,
        difference_low=accuracy.difference_low if accuracy else None,
        difference_high=accuracy.difference_high if accuracy else None,
    )
