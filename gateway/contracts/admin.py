"""Bodies of the admin routes, which canary and scripts speak."""

import enum

import msgspec

from gateway.contracts.deployments import Deployment, Promotion
from gateway.contracts.evaluations import Outcome
from gateway.contracts.variants import EngineOptions, Variant


class RegisterVariant(EngineOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /admin/variants`: make a Variant of a model's files. Registering the same content again changes nothing."""

    source: str
    """An absolute directory, a registered variant's name or `name@digest`, or a Hugging Face repository id."""
    name: str | None = None
    """Defaults to the last part of the directory or repository id, and of the adapter's where one is given."""


class VariantView(msgspec.Struct, frozen=True, kw_only=True):
    reference: str
    """`name@digest`, short."""
    digest: str
    predicted_bytes: int
    """Active bytes after load, for the weights as stored."""
    created_at: str
    variant: Variant


class EngineState(enum.StrEnum):
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    DRAINING = "draining"
    UNLOADING = "unloading"
    FAILED = "failed"


class EngineMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes. Active, cache and peak are MLX's; the footprint is the process's, as the system counts it."""

    active_bytes: int = 0
    cache_bytes: int = 0
    peak_bytes: int = 0
    footprint_bytes: int = 0


class PrefixCacheCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine's prefix cache did since its process started, and what it holds."""

    hits: int = 0
    """Requests of whose prompts a part was found."""
    misses: int = 0
    hit_tokens: int = 0
    """Prompt tokens that were found and not computed again."""
    evictions: int = 0
    """Runs of tokens that were dropped from memory to make room."""
    held_bytes: int = 0
    stored_bytes: int = 0
    """On disk."""


class LoadRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /admin/engines`: load what a Variant needs and answer when it is ready."""

    variant: str


class EngineView(msgspec.Struct, frozen=True, kw_only=True):
    engine_digest: str
    variants: tuple[str, ...]
    """References of the registered variants that this engine serves."""
    state: EngineState
    detail: str
    """What is wrong, where something is."""
    pid: int | None
    device: str
    dequantised: bool
    load_time_s: float | None
    active_after_load_bytes: int | None
    predicted_bytes: int
    memory: EngineMemory
    rows: int
    """Requests that decode now."""
    max_rows: int
    one_at_a_time: bool
    """Whether its declared options (`kv_bits`, `draft`) leave it no batch: `max_rows` is 1 then."""
    queued: int
    restarts: int
    uptime_s: float


class PromotionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /admin/promotions`: by an Evaluation, or by override with a reason; or back to the previous incumbent."""

    model: str
    expected_revision: int
    variant: str | None = None
    """`name@digest` or digest of the candidate; absent in a rollback."""
    evaluation_id: str | None = None
    override_reason: str | None = None
    rollback: bool = False


class PromotionView(msgspec.Struct, frozen=True, kw_only=True):
    promotion: Promotion
    deployment: Deployment


class CandidateOutcome(msgspec.Struct, frozen=True, kw_only=True):
    reference: str
    outcome: Outcome


class EvaluationSummary(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    created_at: str
    model: str
    suite: str
    incumbent: str
    candidates: tuple[CandidateOutcome, ...]
