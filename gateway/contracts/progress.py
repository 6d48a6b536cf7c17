"""`/admin/progress`: how far an evaluation is that goes on, as canary posts it while it runs."""

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Cases = Annotated[int, Meta(ge=0, le=10_000_000)]


class RunPhase(enum.StrEnum):
    """What a run is at, in this order."""

    PREPARING = "preparing"
    """Engines are loaded."""
    FIDELITY = "fidelity"
    """Candidates are scored against the model that they were built of, where the suite asks for that."""
    TRIALS = "trials"
    MEASURING = "measuring"
    """Memory and times, apart from the trials."""
    JUDGING = "judging"
    """The record is written, and the gateway recomputes its verdict."""


class RunStanding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a candidate's accuracy stands so far. It decides nothing."""

    candidate: Name
    """`name@digest`."""
    pairs: Cases
    """Cases of which it and the incumbent have a grade."""
    planned: Cases
    difference: float
    """Candidate minus incumbent."""
    low: float
    high: float
    expected_stop: Cases
    """Cases after which it would end if all went on like this."""


class RunProgress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /admin/progress`: all of it each time; the last one counts."""

    id: Name
    """Of the run, chosen by canary; not that of the Evaluation, which has none before it ends."""
    model: Name
    """Whose Deployment is judged."""
    suite: Name
    incumbent: Name
    """`name@digest`, likewise the candidates."""
    candidates: Annotated[tuple[Name, ...], Meta(max_length=32)]
    phase: RunPhase
    trials_done: Cases = 0
    trials_total: Cases = 0
    """Planned; fewer are run where the judge's rule stops early."""
    standings: Annotated[tuple[RunStanding, ...], Meta(max_length=32)] = ()
    ended: bool = False
    """However it did: the run is forgotten."""

    @property
    def trials_ratio(self) -> float:
        return min(1.0, self.trials_done / self.trials_total) if self.trials_total else 0.0


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run that goes on."""

    started_at: str
    """RFC 3339, UTC, when it was first heard of."""
    heard_s: float
    """Ago, it was last heard of."""
    progress: RunProgress
