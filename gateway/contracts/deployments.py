"""Which Variant answers for a public model name, what may change that, and the record of each change."""

import enum

import msgspec

from gateway.contracts.evaluations import Criterion, Profile


class GatePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must hold for an Evaluation to promote."""

    suite: str
    suite_digest: str | None = None
    """Pinned by the first promotion that passes; None accepts any digest of that name until then."""
    tag: str | None = None
    """The subset that must have been run; None demands the whole suite."""
    profile: Profile = "full"
    criteria: tuple[Criterion, ...] = ()
    """Each must be in the Evaluation, required where it is required here, and at least as strict."""
    min_pairs: int = 10
    """The Evaluation must have called a criterion on fewer pairs inconclusive."""
    heldout_per_family: int = 0
    """Held-out cases that must have been drawn of each family, unless `tag` leaves them out."""
    max_age_s: float = 24 * 3600.0


class Deployment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: str
    incumbent: str
    """Digest of the Variant that answers."""
    revision: int
    """Raised by every change; a writer states the one it read."""
    gate: GatePolicy


class PromotionKind(enum.StrEnum):
    BOOTSTRAP = "bootstrap"
    PROMOTE = "promote"
    OVERRIDE = "override"
    ROLLBACK = "rollback"


class PromotionOutcome(enum.StrEnum):
    DONE = "done"
    FAILED = "failed"
    UNVERIFIED = "unverified"
    """It was done, and what serves could not be read back afterwards, or is something else: the reason says which."""


class Promotion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the audit log."""

    id: int
    at: str
    """RFC 3339, UTC."""
    model: str
    kind: PromotionKind
    outcome: PromotionOutcome
    from_variant: str | None
    """Digests; None at bootstrap."""
    to_variant: str
    evaluation_id: str | None = None
    reason: str | None = None
    revision: int
    """Of the Deployment after the change, or unchanged where it failed."""
