"""A run is known from its first word to its last, or until it has said nothing for too long."""

import itertools
from datetime import datetime, tzinfo

import msgspec
import pytest

from gateway.contracts.progress import RunPhase, RunProgress
from gateway.runs import Runs

RUN = RunProgress(
    id="one", model="tutor", suite="smoke", incumbent="a@1", candidates=("b@2",), phase=RunPhase.PREPARING
)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Calendar:
    """In place of `datetime`: each look at it is a day later."""

    def __init__(self) -> None:
        self._days = itertools.count(1)

    def now(self, zone: tzinfo) -> datetime:
        return datetime(2026, 1, next(self._days), tzinfo=zone)


def test_the_last_word_counts_and_the_first_says_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.runs.datetime", Calendar())
    clock = Clock()
    runs = Runs(timeout_s=60, clock=clock)
    runs.hear(RUN)
    (first,) = runs.current()
    clock.now_s = 5.0
    runs.hear(msgspec.structs.replace(RUN, phase=RunPhase.TRIALS))
    clock.now_s = 7.0
    (view,) = runs.current()
    assert (view.started_at, view.heard_s, view.progress.phase) == (first.started_at, 2.0, RunPhase.TRIALS)


def test_a_run_that_has_ended_is_forgotten() -> None:
    runs = Runs(timeout_s=60)
    runs.hear(RUN)
    runs.hear(msgspec.structs.replace(RUN, ended=True))
    assert runs.current() == ()
    runs.hear(msgspec.structs.replace(RUN, id="never heard of", ended=True))
    assert runs.current() == ()


def test_a_run_that_says_nothing_is_forgotten_alone() -> None:
    clock = Clock()
    runs = Runs(timeout_s=60, clock=clock)
    runs.hear(RUN)
    clock.now_s = 50.0
    runs.hear(msgspec.structs.replace(RUN, id="two"))
    clock.now_s = 61.0
    assert [view.progress.id for view in runs.current()] == ["two"]


def test_runs_that_are_made_up_push_out_the_oldest() -> None:
    runs = Runs(timeout_s=60)
    for number in range(1000):
        runs.hear(msgspec.structs.replace(RUN, id=str(number)))
    assert len(runs.current()) == 32
    assert runs.current()[-1].progress.id == "999"


@pytest.mark.parametrize(("done", "total", "ratio"), [(0, 0, 0.0), (3, 4, 0.75), (5, 4, 1.0)])
def test_the_share_that_is_done_is_a_share(done: int, total: int, ratio: float) -> None:
    assert msgspec.structs.replace(RUN, trials_done=done, trials_total=total).trials_ratio == ratio
