"""Follow a run that goes on: who needs no further trial, and for whoever watches, how the candidates stand."""

import itertools
import time
from collections.abc import Callable, Sequence

import msgspec

from canary.judge import Standing, Watch, standings
from canary.report.systems import labels_of
from gateway.contracts.evaluations import Evaluation, Trial

STANDINGS_EVERY_S = 1.0
"""Nobody reads faster, and intervals after each of a thousand cases would hold the trials up."""


class CandidateStanding(msgspec.Struct, frozen=True, kw_only=True):
    label: str
    """As the report calls it, for lines that are narrow."""
    reference: str
    """`name@digest`, for whoever has not seen the report."""
    standing: Standing


OnStandings = Callable[[Sequence[CandidateStanding]], None]


class Following:
    """Called after each case with all trials so far; says which systems are settled, by their position."""

    def __init__(self, empty: Evaluation, on_standings: OnStandings) -> None:
        """`empty` is the run's record without its trials."""
        self._empty = empty
        self._on_standings = on_standings
        self._labels = labels_of(empty.systems)[1:]
        self._watch = Watch()
        self._told_s = -STANDINGS_EVERY_S

    def __call__(self, trials: Sequence[Trial]) -> frozenset[int]:
        so_far = msgspec.structs.replace(self._empty, trials=tuple(trials))
        stopped = self._watch.stopped(so_far)
        if time.monotonic() - self._told_s >= STANDINGS_EVERY_S or all(stopped):
            self._tell(so_far)
        over = frozenset(itertools.compress(itertools.count(1), stopped))
        return over | {0} if all(stopped) else over

    def _tell(self, so_far: Evaluation) -> None:
        stand = zip(self._labels, so_far.candidates, standings(so_far), strict=True)
        self._on_standings(
            [
                CandidateStanding(label=label, reference=candidate.variant.reference, standing=standing)
                for label, candidate, standing in stand
                if standing is not None
            ]
        )
        self._told_s = time.monotonic()
