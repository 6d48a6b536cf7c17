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


SEED_MIN_PAIRS = 10
"""A required criterion on fewer pairs is inconclusive."""

QUICK_MARGIN = 0.10
"""Of accuracy against the incumbent under profile `quick`, which reads too few cases to exclude a smaller loss."""


NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Positive = Annotated[int, msgspec.Meta(ge=1)]


class Protocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How trials are run so that their times can be compared: one at a time, and beyond that as this says."""

    warm_up_count: Annotated[int, msgspec.Meta(ge=0, le=20)] = 1
    """Requests to each system before the first trial, whose answers and times are not recorded."""
    prefix_cache: bool = False
    """Whether a trial may use the KV of an earlier one. With it, who runs a case second has its prompt for nothing."""


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

    def effective_criteria(self) -> tuple[Criterion, ...]:
        """Return the defaults with the suite's own in their place, then the suite's further ones."""
        own = {criterion.name: criterion for criterion in self.criteria}
        defaults = [
            criterion
            for criterion in (_quick(each) if self.profile == "quick" else each for each in SEED_CRITERIA)
            if criterion.metric is not Metric.FIELD_ACCESS or Metric.FIELD_ACCESS in self.measures
        ]
        names = {criterion.name for criterion in defaults}
        replaced = [own.get(criterion.name, criterion) for criterion in defaults]
        return (*replaced, *(criterion for criterion in self.criteria if criterion.name not in names))


def _quick(criterion: Criterion) -> Criterion:
    if criterion.rule is not Rule.NO_WORSE_THAN:
        return criterion
    return msgspec.structs.replace(criterion, bound=QUICK_MARGIN)
