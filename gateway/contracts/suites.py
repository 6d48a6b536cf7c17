"""The part of a Suite that the gateway reads as well: its `suite.toml`, and the criteria that follow from it."""

from typing import Annotated

import msgspec

from gateway.contracts.evaluations import Criterion, Metric, Profile, Rule

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


NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Positive = Annotated[int, msgspec.Meta(ge=1)]


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
    profile: Profile = "seed"
    min_pairs: Positive = SEED_MIN_PAIRS
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    """Of the order of trials."""
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.0
    max_completion_tokens: Positive = 256
    """Where a case does not say."""
    criteria: tuple[Criterion, ...] = ()

    def effective_criteria(self) -> tuple[Criterion, ...]:
        """Return the defaults with the suite's own in their place, then the suite's further ones."""
        own = {criterion.name: criterion for criterion in self.criteria}
        defaults = [
            criterion
            for criterion in SEED_CRITERIA
            if criterion.metric is not Metric.FIELD_ACCESS or Metric.FIELD_ACCESS in self.measures
        ]
        names = {criterion.name for criterion in defaults}
        replaced = [own.get(criterion.name, criterion) for criterion in defaults]
        return (*replaced, *(criterion for criterion in self.criteria if criterion.name not in names))
