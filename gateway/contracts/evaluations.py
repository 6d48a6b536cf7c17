"""One run of a Suite by an incumbent and its candidates: what was measured, and what the judge makes of it."""

import enum
from typing import Literal

import msgspec

from gateway.contracts.chat import FinishReason
from gateway.contracts.fidelity import FidelityJudgement, FidelityRecord
from gateway.contracts.heldout import HeldoutDraw
from gateway.contracts.host import HostRecord
from gateway.contracts.latency import LatencyRecord
from gateway.contracts.memory import MemoryRecord
from gateway.contracts.variants import Variant


class Outcome(enum.StrEnum):
    """Ordered from best to worst; `severity` is the order."""

    PASSED = "passed"
    INCONCLUSIVE = "inconclusive"
    ERRORED = "errored"
    FAILED = "failed"

    @property
    def severity(self) -> int:
        return list(Outcome).index(self)


def worst(outcomes: "list[Outcome] | tuple[Outcome, ...]") -> Outcome:
    """Return the worst of at least one outcome."""
    return max(outcomes, key=lambda outcome: outcome.severity)


class Role(enum.StrEnum):
    INCUMBENT = "incumbent"
    CANDIDATE = "candidate"


class Metric(enum.StrEnum):
    """A named number per Trial, or per system where a Trial cannot carry it."""

    ACCURACY = "accuracy"
    FIELD_ACCESS = "field_access"
    GENERATION_TIME_S = "generation_time_s"
    TIME_TO_FIRST_TOKEN_S = "time_to_first_token_s"  # noqa: S105 - a metric; no secret has this name
    TIME_PER_OUTPUT_TOKEN_S = "time_per_output_token_s"  # noqa: S105 - as above
    END_TO_END_S = "end_to_end_s"
    MEMORY_BYTES = "memory_bytes"
    """After load, before any request."""
    MEMORY_STEADY_BYTES = "memory_steady_bytes"
    MEMORY_PEAK_BYTES = "memory_peak_bytes"
    """The highest while the declared context was read."""
    MEMORY_PEAK_RATIO = "memory_peak_ratio"
    """The same, as a share of what the gateway lets engines use."""
    MEMORY_SLOPE_BYTES_PER_TOKEN = "memory_slope_bytes_per_token"  # noqa: S105 - as above
    MEMORY_LEAK_BYTES_PER_REQUEST = "memory_leak_bytes_per_request"
    """What each of many equal requests leaves behind, at least."""
    FOOTPRINT_BYTES = "footprint_bytes"
    """Of the process, as the system counts it, at most."""
    SWAP_GROWTH_BYTES = "swap_growth_bytes"
    LOAD_TIME_S = "load_time_s"
    LOAD_TIME_COLD_S = "load_time_cold_s"
    LOAD_TIME_WARM_S = "load_time_warm_s"
    DISK_BYTES = "disk_bytes"

    @property
    def per_trial(self) -> bool:
        return self.higher_is_better or self.is_time

    @property
    def higher_is_better(self) -> bool:
        return self in {Metric.ACCURACY, Metric.FIELD_ACCESS}

    @property
    def is_time(self) -> bool:
        """Of an answer. How long an engine loads is measured once."""
        return self in {
            Metric.GENERATION_TIME_S,
            Metric.TIME_TO_FIRST_TOKEN_S,
            Metric.TIME_PER_OUTPUT_TOKEN_S,
            Metric.END_TO_END_S,
        }

    @property
    def of_memory_phase(self) -> bool:
        """Whether the memory phase alone measures it."""
        return self in {
            Metric.MEMORY_STEADY_BYTES,
            Metric.MEMORY_PEAK_BYTES,
            Metric.MEMORY_PEAK_RATIO,
            Metric.MEMORY_SLOPE_BYTES_PER_TOKEN,
            Metric.MEMORY_LEAK_BYTES_PER_REQUEST,
            Metric.FOOTPRINT_BYTES,
            Metric.SWAP_GROWTH_BYTES,
            Metric.LOAD_TIME_COLD_S,
            Metric.LOAD_TIME_WARM_S,
        }


class Rule(enum.StrEnum):
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    NO_WORSE_THAN = "no_worse_than"
    """Than the incumbent, by more than the bound, in the metric's own unit."""


class Statistic(enum.StrEnum):
    """What of a metric's values a rule is applied to."""

    MEAN = "mean"
    LOWER_BOUND = "lower_bound"
    """Of the mean's two-sided 95 % interval."""
    UPPER_BOUND = "upper_bound"
    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"
    RATIO = "ratio"
    """Candidate over incumbent, the geometric mean over the pairs; for `no_worse_than` alone."""

    @property
    def percentile(self) -> float | None:
        """As a share of 1; None where the statistic is none."""
        return int(self[1:]) / 100 if self.startswith("p") else None


class Criterion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    metric: Metric
    rule: Rule
    bound: float
    """A floor, a ceiling or a margin, in the metric's unit; of a ratio, the part by which it may be worse."""
    statistic: Statistic = Statistic.MEAN
    required: bool = True
    """An advisory criterion is measured and printed, and decides nothing."""
    category: str | None = None
    """Only the trials of this category; None takes all."""
    tag: str | None = None
    """Only the trials of cases with this tag."""
    concurrency: int | None = None
    """Of times: requests that were kept in flight, 1 where it is not said."""


class Completion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="completion"):
    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    time_to_first_token_s: float
    generation_time_s: float
    """From sending the request to the last token, as the client sees it."""
    cached_tokens: int = 0
    """Of the prompt, those that an earlier request had left computed."""


class ErrorCause(enum.StrEnum):
    CANDIDATE = "candidate"
    """The variant under test brought it about; the trial scores 0."""
    INFRASTRUCTURE = "infrastructure"
    """Anything else; the trial says nothing about the variant."""


class TrialError(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="error"):
    code: str
    message: str
    cause: ErrorCause


class Grade(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="grade"):
    value: float
    """In [0, 1]."""
    reason: str
    measures: dict[Metric, float] = {}
    """Further metrics that the grader measured, each in [0, 1]: field access, where the case has fields."""


class Ungraded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ungraded"):
    """The grader declines to judge. Never a zero."""

    reason: str


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One execution of one Case by one Variant."""

    sequence: int
    """Position in the order of execution, from 0."""
    case_id: str
    variant_digest: str
    result: Completion | TrialError
    grade: Grade | Ungraded
    run_in: str | None = None
    """The earlier Evaluation that it was run in; None where it was run for this one."""


class CaseRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a reader of the record needs to know of a Case without the suite at hand."""

    id: str
    category: str
    digest: str
    prompt: str
    """The last user message."""
    expectation: str
    """What the grader looked for, in words."""
    family: str = ""
    """Cases of one template, which fail together; a case without a name here is its own."""
    heldout: bool = False
    """Drawn for this run, and in no file of the suite."""
    tags: tuple[str, ...] = ()


class SuiteRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    digest: str
    """Of the whole suite, whatever subset was run. It covers what is drawn of held-out cases, not the drawn cases."""
    tag: str | None
    """The subset: cases with this tag; None ran all."""
    categories: dict[str, str]
    """Key and title, in the suite's order."""
    measures: tuple[Metric, ...]
    """What the suite's graders measure beside accuracy."""
    heldout: HeldoutDraw | None = None
    """The cases drawn for this run; None where the suite declares none, or the tag leaves them out."""


class System(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Variant in its role, and what was measured of its engine rather than of a trial."""

    role: Role
    variant: Variant
    load_time_s: float
    active_bytes: int
    """After load, before any request; of the form that is resident, dequantised or not."""
    predicted_bytes: int
    """The same from the files' headers, for the weights as stored."""
    disk_bytes: int
    dequantised: bool
    """The device has no quantised kernels worth timing: times and measured memory are not the product's."""
    device: str


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The machine and the software that the numbers belong to."""

    platform: str
    processor: str
    memory_bytes: int
    versions: dict[str, str]
    """Of Python and the packages; `code` is a digest of this program's own files, which change under one version."""
    host: HostRecord | None = None
    """Where the engines ran; the rest of this is canary's own machine. None in records from before it was asked for."""


class Level(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A metric of one system, with its two-sided 95 % interval where the number of trials allows one."""

    n: int
    value: float | None
    low: float | None = None
    high: float | None = None


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Candidate against incumbent on one Metric, over the pairs that both have."""

    metric: Metric
    category: str | None
    pairs: int
    candidate: Level
    incumbent: Level
    difference: float | None
    """Candidate minus incumbent, over the pairs."""
    difference_low: float | None = None
    difference_high: float | None = None


class CriterionResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    criterion: Criterion
    outcome: Outcome
    required: bool
    """As applied: a required criterion may count as advisory on this device, and the reason says so."""
    n: int
    observed: float | None
    low: float | None = None
    high: float | None = None
    families: int | None = None
    """Independent units among the `n`; None where cases are counted as if they were independent."""
    more_cases: int | None = None
    """Inconclusive: about as many more would settle it, if what was seen so far goes on; None where none would."""
    reason: str


class StopCause(enum.StrEnum):
    """Why the judge read no further in the order of the cases."""

    SUCCESS = "success"
    """At a look, every required criterion over trials held."""
    HARM = "harm"
    """A required criterion over trials was shown to be missed."""
    HORIZON = "horizon"
    """All planned cases were read."""


class Stopping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a sequential rule stopped. What the record holds beyond that counts for nothing."""

    cause: StopCause
    cases: int
    """Read, in the order that the seed draws."""
    planned: int
    """At the last look."""
    families: int
    """Among the cases read."""
    excluded: int
    """Of the cases read, those of which the incumbent or the candidate has no grade."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    outcome: Outcome
    decided_by: tuple[str, ...]
    """Names of the required criteria that share the worst outcome, in suite order."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that the judge says of one candidate: a pure function of the rest of the record."""

    variant_digest: str
    comparisons: tuple[Comparison, ...]
    results: tuple[CriterionResult, ...]
    verdict: Verdict
    stopping: Stopping | None = None
    """None under profile `seed`, which reads all there is."""
    fidelity: FidelityJudgement | None = None
    """None where fidelity was not measured. A rejection makes the verdict `failed`, decided by `fidelity`."""


class Mode(enum.StrEnum):
    """Where the systems were while they were tried."""

    RESIDENT = "resident"
    """All loaded beside each other."""
    SWAP = "swap"
    """In turn, by loans of the memory, during each of which production's requests waited."""
    OFFLINE = "offline"
    """Likewise, while production's requests were sent away."""


Profile = Literal["full", "quick", "seed"]
"""`full`, `quick`: evidence decides, by a rule that may stop early; `seed`: point estimates do, on all there is."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The immutable record of one run. Systems start with the incumbent; candidates follow in the order given."""

    schema: Literal[1] = 1
    id: str
    created_at: str
    """RFC 3339, UTC, when the last trial ended."""
    model: str
    """The public name whose Deployment was judged."""
    deployment_revision: int
    suite: SuiteRef
    profile: Profile
    criteria: tuple[Criterion, ...]
    min_pairs: int
    seed: int
    environment: Environment
    cases: tuple[CaseRef, ...]
    systems: tuple[System, ...]
    trials: tuple[Trial, ...]
    judgements: tuple[Judgement, ...]
    """One for each candidate, in the order of the systems."""
    latency: LatencyRecord | None = None
    """Where it is, times are read from it, else from the trials."""
    memory: tuple[MemoryRecord, ...] = ()
    fidelity: tuple[FidelityRecord, ...] = ()
    """Of each candidate that was measured before its trials; one that is rejected by it has none."""
    mode: Mode = Mode.RESIDENT
    compared_while: str | None = None
    """Digest of the Deployment's incumbent, where another variant had its role (`canary compare`). Promotes nothing."""

    @property
    def incumbent(self) -> System:
        return self.systems[0]

    @property
    def candidates(self) -> tuple[System, ...]:
        return self.systems[1:]
