"""Bodies of the admin routes, which canary and scripts speak."""

import enum
from typing import Annotated

import msgspec

from gateway.contracts.deployments import Deployment, Promotion
from gateway.contracts.evaluations import Outcome
from gateway.contracts.names import VariantName
from gateway.contracts.scheduling import SchedulingClass
from gateway.contracts.variants import EngineOptions, Variant


class RegisterVariant(EngineOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /admin/variants`: make a Variant of a model's files. Registering the same content again changes nothing."""

    source: str
    """An absolute directory, a registered variant's name or `name@digest`, or a Hugging Face repository id."""
    name: VariantName | None = None
    """Defaults to the last part of the directory or repository id, and of the adapter's where one is given."""


class VariantView(msgspec.Struct, frozen=True, kw_only=True):
    reference: str
    """`name@digest`, short."""
    digest: str
    predicted_bytes: int
    """Active bytes after load, for the weights as stored."""
    created_at: str
    archived_at: str | None = None
    """When its files were removed; None while it can be loaded."""
    variant: Variant


class ArchiveView(msgspec.Struct, frozen=True, kw_only=True):
    """What archiving a Variant removes, or has removed."""

    variant: VariantView
    dry_run: bool
    directories: tuple[str, ...]
    """The gateway's own builds, which go whole."""
    files: tuple[str, ...]
    """The model's files in other directories, which may hold more."""
    freed_bytes: int
    kept: tuple[str, ...]
    """What stays, and why."""


class EngineState(enum.StrEnum):
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    DRAINING = "draining"
    UNLOADING = "unloading"
    FAILED = "failed"


class FailureReason(enum.StrEnum):
    """Why an engine's process failed, as far as its parent can know."""

    START_FAILED = "start_failed"
    """It could not load its model, or not in time."""
    CRASHED = "crashed"
    """By a signal of its own, as an abort or a bad access."""
    EXITED = "exited"
    """With a status, and nobody had told it to."""
    HUNG = "hung"
    """It held requests and took no step: the gateway killed it."""
    OUT_OF_MEMORY = "out_of_memory"
    """Its last words say so."""
    KILLED = "killed"
    """By a SIGKILL of somebody else's. Where memory is short that is the system, but nothing proves it."""


class BreakerState(enum.StrEnum):
    """Whether an engine that failed again and again is tried for the moment."""

    CLOSED = "closed"
    OPEN = "open"
    """It rests; requests are refused at once, with the time of the next start."""
    HALF_OPEN = "half_open"
    """It is started, or runs one request at a time, and has not proved itself yet."""


class EngineMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes. Active, cache and peak are MLX's; the footprint is the process's, as the system counts it."""

    active_bytes: int = 0
    cache_bytes: int = 0
    peak_bytes: int = 0
    """Highest active bytes of the process."""
    busy_peak_bytes: int = 0
    """The same since it was last idle, so that those of a lone request can be read after it."""
    footprint_bytes: int = 0


class EngineWork(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the engine was loaded. From two readings follows what it did in between."""

    decode_steps: int = 0
    decoded_tokens: int = 0
    """Divided by the steps: the mean number of rows that decoded together."""
    admitted: dict[SchedulingClass, int] = {}
    """Requests that got a row, by class."""
    running: dict[SchedulingClass, int] = {}
    """Those that hold one now."""


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


class LoanRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /admin/loans`: lend a Variant the memory that the incumbent's engine holds, where both do not fit.

    Answers when its engine is ready. The incumbent's is loaded again when the loan is given back, or ends by itself.
    """

    variant: str
    model: str
    """Whose incumbent makes room."""
    for_s: Annotated[float, msgspec.Meta(gt=0)]
    """From when the Variant's engine is ready."""
    turn_away: bool = False
    """Its requests are refused until the loan has ended, in place of waiting for that."""


class LoanView(msgspec.Struct, frozen=True, kw_only=True):
    variant: str
    ends_in_s: float


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
    work: EngineWork = EngineWork()
    rows: int
    """Requests that decode now."""
    max_rows: int
    one_at_a_time: bool
    """Whether its declared options (`kv_bits`, `draft`) leave it no batch: `max_rows` is 1 then."""
    queued: int
    restarts: int
    uptime_s: float
    last_failure: FailureReason | None = None
    breaker: BreakerState = BreakerState.CLOSED
    retry_after_s: float | None = None
    """Until requests are taken again, as expected; while the breaker is open."""


class PromotionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /admin/promotions`: by an Evaluation, or by override with a reason; or back to the previous incumbent."""

    model: str
    expected_revision: int
    variant: str | None = None
    """`name@digest` or digest of the candidate; absent in a rollback."""
    evaluation_id: str | None = None
    override_reason: str | None = None
    rollback: bool = False
    cut_streams: bool = False
    """Answers that are still under way at `swap.drain_timeout_s`, where both engines do not fit, end with an error
    event. Without it the promotion fails then, and the old engine serves on."""


class SwapWay(enum.StrEnum):
    """How an engine is exchanged for another."""

    SHARED = "shared"
    """Both Variants need the same engine: nothing is loaded."""
    BESIDE = "beside"
    """Both fit the memory: the old one goes when its last answer has ended."""
    IN_TURN = "in_turn"
    """They do not: the old one goes before the new one is loaded, and requests wait."""


class PromotionView(msgspec.Struct, frozen=True, kw_only=True):
    promotion: Promotion
    deployment: Deployment


class CandidateOutcome(msgspec.Struct, frozen=True, kw_only=True):
    reference: str
    outcome: Outcome
    accuracy: float | None = None
    """Overall. This and what follows is None in records from before it was noted, and where nothing was tried."""
    difference: float | None = None
    """In accuracy: candidate minus incumbent, with its 95 % interval."""
    difference_low: float | None = None
    difference_high: float | None = None


class EvaluationSummary(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    created_at: str
    model: str
    suite: str
    incumbent: str
    candidates: tuple[CandidateOutcome, ...]
