"""The part of a Suite that the gateway reads as well: its `suite.toml`, and the criteria that follow from it."""

from typing import Annotated

import msgspec

from gateway.contracts.evaluations import Criterion, Metric, Profile, Rule
from gateway.contracts.heldout import Heldout

GIB = 1024**3

SEED_CRITERIA = (
    Criterion(name="accuracy", metric=Metric.ACCURACY, rule=Rule.AT_LEAST, bound=0.80),
    Criterion(name="field_access", metric=Metric.FIELD_ACCESS, rule=Rule.AT_LEAST, bound=0.80),
    Criterion(name="generation_time", metric=Metric.GENERATION_TIME_S, rule=Rule.AT_MOST, bound=3.0),
    # The seed wrote "GB" and meant GiB: 19.55 is 30.5e9 parameters at 5.5 bits in GiB.
    Criterion(name="memory", metric=Metric.MEMORY_BYTES, rule=Rule.AT_MOST, bound=20 * GIB),
    Criterion(name="accuracy_vs_incumbent", metric=Metric.ACCURACY, rule=Rule.NO_WORSE_THAN, bound=0.05),
)
"""The defaults. A suite's criterion of the same name replaces one; field access applies where the suite measures it."""


MEMORY_CRITERIA = (
    Criterion(name="memory_peak", metric=Metric.MEMORY_PEAK_RATIO, rule=Rule.AT_MOST, bound=0.9),
    # Allocators keep some of what they are given back.
    Criterion(name="memory_leak", metric=Metric.MEMORY_LEAK_BYTES_PER_REQUEST, rule=Rule.AT_MOST, bound=64 * 1024),
    Criterion(name="swap", metric=Metric.SWAP_GROWTH_BYTES, rule=Rule.AT_MOST, bound=0),
)
"""Further defaults of a suite whose protocol measures memory. Near nine tenths of its limit MLX becomes slow."""

SEED_MIN_PAIRS = 10
"""A required criterion on fewer pairs is inconclusive."""

QUICK_MARGIN = 0.10
"""Of accuracy against the incumbent under profile `quick`, which reads too few cases to exclude a smaller loss."""


NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Positive = Annotated[int, msgspec.Meta(ge=1)]


class LatencyProtocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the systems are timed beside each other, apart from the trials that are graded."""

    cycles: Annotated[int, msgspec.Meta(ge=2, le=200)] = 12
    """Each times all systems forth and back, A-B-B-A, on its own prompts. What drifts from one to the next is borne."""
    prompts_per_cycle: Annotated[int, msgspec.Meta(ge=1, le=100)] = 2
    output_tokens: Annotated[int, msgspec.Meta(ge=2)] = 32
    """Of each timed request. Prompts whose answers come to fewer are not chosen while there are others."""
    warm_up_count: Annotated[int, msgspec.Meta(ge=1, le=20)] = 2
    """Requests to each engine that are dropped: they pay for what is made once."""
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    """Of production. Above 1, all is timed with so many requests in flight as well as with one."""

    @property
    def levels(self) -> tuple[int, ...]:
        """Return how many requests are in flight, the fewest first."""
        return tuple(sorted({1, self.concurrency}))


class MemoryProtocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How memory is read."""

    context_tokens: Annotated[int, msgspec.Meta(ge=64)] = 4096
    """The longest context that production is to have, whose peak is measured."""
    repeats: Annotated[int, msgspec.Meta(ge=20, le=1000)] = 50
    """Equal requests, one after another, whose growth would be a leak."""
    reload: bool = False
    """Whether candidates are unloaded and loaded twice more, for cold and warm load times."""


class FidelityProtocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How builds are looked at before their trials."""

    answers: Annotated[int, msgspec.Meta(ge=8, le=1000)] = 24
    """Golden answers that are forced on each system, at most."""


class Protocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How trials are run, and what is measured beside them."""

    warm_up_count: Annotated[int, msgspec.Meta(ge=0, le=20)] = 1
    """Requests to each system before the first trial, whose answers and times are not recorded."""
    prefix_cache: bool = False
    """Whether a trial may use the KV of an earlier one. With it, who runs a case second has its prompt for nothing."""
    latency: LatencyProtocol | None = None
    """Where it is given, times are measured apart; without it, by profiles `full` and `quick` as its defaults say."""
    fidelity: FidelityProtocol | None = None
    """Where it is given, builds are looked at before their trials; without it, by profiles `full` and `quick` as its
    defaults say, where the suite has golden answers enough."""
    memory: MemoryProtocol | None = None
    """Where it is given, memory is measured beyond the load, and MEMORY_CRITERIA are judged."""


class SuiteManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `suite.toml`."""

    name: NonEmpty
    purpose: str
    categories: Annotated[dict[NonEmpty, str], msgspec.Meta(min_length=1)]
    """Key and title, in the order of the report."""
    system: str | None = None
    """System prompt of every case that brings none."""
    measures: tuple[Metric, ...] = ()
    graders: dict[NonEmpty, Positive] = {}
    """The version of each grader that the suite was written for, by kind. One that is not pinned is the newest."""
    profile: Profile = "full"
    min_pairs: Positive = SEED_MIN_PAIRS
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    """Of the order of trials."""
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.0
    max_completion_tokens: Positive = 256
    """Where a case does not say."""
    template_arguments: dict[NonEmpty, bool | int | float | str] = {}
    """Of the chat template, such as `enable_thinking`; over the Variant's own."""
    protocol: Protocol = Protocol()
    heldout: Heldout | None = None
    """Cases that are drawn when the suite runs, beside those of `cases.jsonl`."""
    criteria: tuple[Criterion, ...] = ()

    @property
    def timing(self) -> LatencyProtocol | None:
        """How times are measured apart from the trials; None where they are read from the trials, or not judged."""
        if self.protocol.latency is not None or self.profile == "seed":
            return self.protocol.latency
        is_judged = any(criterion.metric.is_time for criterion in self.effective_criteria())
        return LatencyProtocol() if is_judged else None

    @property
    def measures_memory(self) -> bool:
        """Whether memory is measured beyond the load, because the protocol says so or a criterion asks for it."""
        asked = any(criterion.metric.of_memory_phase for criterion in self.effective_criteria())
        return self.protocol.memory is not None or asked

    def effective_criteria(self) -> tuple[Criterion, ...]:
        """Return the defaults with the suite's own in their place, then the suite's further ones."""
        own = {criterion.name: criterion for criterion in self.criteria}
        defaults = [
            criterion
            for criterion in (
                *(_quick(each) if self.profile == "quick" else each for each in SEED_CRITERIA),
                *(MEMORY_CRITERIA if self.protocol.memory is not None else ()),
            )
            if criterion.metric is not Metric.FIELD_ACCESS or Metric.FIELD_ACCESS in self.measures
        ]
        names = {criterion.name for criterion in defaults}
        replaced = [own.get(criterion.name, criterion) for criterion in defaults]
        return (*replaced, *(criterion for criterion in self.criteria if criterion.name not in names))


def _quick(criterion: Criterion) -> Criterion:
    if criterion.rule is not Rule.NO_WORSE_THAN:
        return criterion
    return msgspec.structs.replace(criterion, bound=QUICK_MARGIN)
