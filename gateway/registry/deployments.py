"""Deployments, and the audit log of every change of an incumbent. Runs inside a transaction."""

import sqlite3

import msgspec

from gateway.contracts.deployments import Deployment, GatePolicy, Promotion, PromotionKind, PromotionOutcome
from gateway.contracts.digests import short
from gateway.contracts.error_codes import ErrorCode
from gateway.errors import GateError, NotFound, PromotionRefused, RevisionConflict
from gateway.registry import variants

_SELECT = "SELECT model, incumbent, revision, gate FROM deployments"
_SELECT_PROMOTION = (
    "SELECT id, at, model, kind, outcome, from_variant, to_variant, evaluation_id, reason, revision FROM promotions"
)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit log to be: who becomes the incumbent of what, and on which ground."""

    model: str
    to_variant: str
    kind: PromotionKind
    at: str
    evaluation_id: str | None = None
    reason: str | None = None


def everything(connection: sqlite3.Connection) -> tuple[Deployment, ...]:
    return tuple(_deployment(row) for row in connection.execute(f"{_SELECT} ORDER BY model"))


def find(connection: sqlite3.Connection, model: str) -> Deployment:
    row = connection.execute(f"{_SELECT} WHERE model = ?", (model,)).fetchone()
    if row is None:
        raise NotFound(f"no model {model!r} is served here: see GET /v1/models", code=ErrorCode.MODEL_NOT_FOUND)
    return _deployment(row)


def create(connection: sqlite3.Connection, change: Change, gate: GatePolicy) -> Deployment:
    variants.require(connection, change.to_variant)
    # Revisions go on where an earlier Deployment of the name ended: an Evaluation made against that one cannot be
    # taken for one made against this.
    (last,) = connection.execute(
        "SELECT coalesce(max(revision), 0) FROM promotions WHERE model = ?", (change.model,)
    ).fetchone()
    deployment = Deployment(model=change.model, incumbent=change.to_variant, revision=last + 1, gate=gate)
    added = connection.execute(
        "INSERT INTO deployments (model, incumbent, revision, gate) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (change.model, change.to_variant, deployment.revision, msgspec.json.encode(gate)),
    )
    if added.rowcount == 0:
        raise RevisionConflict(f"{change.model} is deployed already: promote to change its incumbent")
    _record(connection, change, PromotionOutcome.DONE, from_variant=None, revision=deployment.revision)
    return deployment


def delete(connection: sqlite3.Connection, model: str) -> None:
    connection.execute("DELETE FROM deployments WHERE model = ?", (model,))


def require_changeable(connection: sqlite3.Connection, change: Change, expected_revision: int) -> Deployment:
    """Return the Deployment, if it is the one that the writer has read and the change would change something."""
    deployment = find(connection, change.model)
    if deployment.revision != expected_revision:
        raise RevisionConflict(
            f"{change.model} is at revision {deployment.revision}, and the change was asked for at {expected_revision}:"
            " read the deployment again"
        )
    variants.require(connection, change.to_variant)
    if deployment.incumbent == change.to_variant:
        raise PromotionRefused(f"{short(change.to_variant)} is the incumbent of {change.model} already")
    return deployment


def apply(
    connection: sqlite3.Connection, change: Change, before: Deployment, pin_suite_digest: str | None
) -> tuple[Deployment, Promotion]:
    gate = before.gate
    if pin_suite_digest is not None:
        gate = msgspec.structs.replace(gate, suite_digest=pin_suite_digest)
    after = msgspec.structs.replace(before, incumbent=change.to_variant, revision=before.revision + 1, gate=gate)
    connection.execute(
        "UPDATE deployments SET incumbent = ?, revision = ?, gate = ? WHERE model = ?",
        (after.incumbent, after.revision, msgspec.json.encode(gate), change.model),
    )
    done = _record(connection, change, PromotionOutcome.DONE, from_variant=before.incumbent, revision=after.revision)
    return after, done


def record(connection: sqlite3.Connection, change: Change, outcome: PromotionOutcome) -> Promotion:
    """Write what changes nothing: an attempt that failed, or what was found out about a change afterwards."""
    variants.require(connection, change.to_variant)
    unchanged = find(connection, change.model)
    return _record(connection, change, outcome, from_variant=unchanged.incumbent, revision=unchanged.revision)


def promotions(connection: sqlite3.Connection, model: str | None) -> tuple[Promotion, ...]:
    rows = connection.execute(f"{_SELECT_PROMOTION} WHERE model = ? OR ? IS NULL ORDER BY id DESC", (model, model))
    return tuple(_promotion(row) for row in rows)


def previous_incumbent(connection: sqlite3.Connection, model: str) -> str:
    """Replay the log since the Deployment began: what was rolled back from is not gone back to."""
    find(connection, model)
    line: list[str] = []
    for promotion in reversed(promotions(connection, model)):
        if promotion.outcome is not PromotionOutcome.DONE:
            continue
        if promotion.kind is PromotionKind.BOOTSTRAP:
            line = []
        if promotion.kind is PromotionKind.ROLLBACK:
            line.pop()
        else:
            line.append(promotion.to_variant)
    if len(line) < 2:  # noqa: PLR2004 - the incumbent and the one before it
        raise GateError(
            f"{model} has no earlier incumbent to go back to: promote a variant instead",
            code=ErrorCode.NOTHING_TO_ROLL_BACK,
        )
    return line[-2]


def _record(
    connection: sqlite3.Connection,
    change: Change,
    outcome: PromotionOutcome,
    *,
    from_variant: str | None,
    revision: int,
) -> Promotion:
    values = (
        change.at,
        change.model,
        change.kind.value,
        outcome.value,
        from_variant,
        change.to_variant,
        change.evaluation_id,
        change.reason,
        revision,
    )
    row = connection.execute(
        "INSERT INTO promotions (at, model, kind, outcome, from_variant, to_variant, evaluation_id, reason, revision)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        values,
    ).fetchone()
    return _promotion((*row, *values))


def _deployment(row: tuple[str, str, int, bytes]) -> Deployment:
    model, incumbent, revision, gate = row
    return Deployment(
        model=model, incumbent=incumbent, revision=revision, gate=msgspec.json.decode(gate, type=GatePolicy)
    )


def _promotion(row: tuple[object, ...]) -> Promotion:
    return msgspec.convert(dict(zip(Promotion.__struct_fields__, row, strict=True)), Promotion)
