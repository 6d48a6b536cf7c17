"""Tell the gateway how far a run is, for its metrics and its console. No run fails for that, or waits for it."""

import secrets
from collections.abc import Sequence
from threading import Event, Thread
from types import TracebackType
from typing import Protocol, Self

import msgspec

from canary.client import GatewayClient
from canary.errors import CanaryError, GatewayRefused
from canary.following import CandidateStanding
from canary.stage import Lineup
from gateway.contracts.evaluations import Trial
from gateway.contracts.progress import RunPhase, RunProgress, RunStanding

POST_EVERY_S = 1.0
"""At most."""
REPEAT_EVERY_S = 15.0
"""While nothing changes, as in a long load: the gateway forgets a run that it does not hear of."""
LAST_POST_LIMIT_S = 3.0
"""The command waits so long, at most, for the gateway to take that the run has ended."""


class Progress(Protocol):
    """What watches a run."""

    def note(self, sentence: str) -> None: ...

    def on_trial(self, trial: Trial, total: int) -> None: ...

    def on_case(self, standings: Sequence[CandidateStanding]) -> None: ...


class PostedProgress:
    """A run's progress, shown as before and posted too, by a thread of its own; use as a context manager."""

    def __init__(self, gateway: GatewayClient, lineup: Lineup, suite: str, shown: Progress) -> None:
        self._gateway = gateway
        self._shown = shown
        self._now = RunProgress(
            id=secrets.token_hex(8),
            model=lineup.deployment.model,
            suite=suite,
            incumbent=lineup.incumbent.reference,
            candidates=tuple(candidate.reference for candidate in lineup.candidates),
            phase=RunPhase.PREPARING,
        )
        self._changed = Event()
        self._over = Event()
        self._thread = Thread(target=self._post, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._change(ended=True)
        self._thread.join(LAST_POST_LIMIT_S)

    def note(self, sentence: str) -> None:
        self._shown.note(sentence)

    def on_trial(self, trial: Trial, total: int) -> None:
        self._shown.on_trial(trial, total)
        self._change(trials_done=trial.sequence + 1, trials_total=total)

    def on_case(self, standings: Sequence[CandidateStanding]) -> None:
        self._shown.on_case(standings)
        self._change(
            standings=tuple(
                RunStanding(candidate=each.reference, **msgspec.structs.asdict(each.standing)) for each in standings
            )
        )

    def enter(self, phase: RunPhase) -> None:
        self._change(phase=phase)

    def _change(self, **what: object) -> None:
        """Only the thread that runs the evaluation calls this; the other one reads."""
        self._now = msgspec.structs.replace(self._now, **what)
        self._changed.set()

    def _post(self) -> None:
        while True:
            self._changed.clear()
            now = self._now
            try:
                self._gateway.post_progress(now)
            except GatewayRefused:  # it would refuse the next as well, as one without this route does
                return
            except CanaryError:
                pass  # whoever runs the trials will say that there is no gateway
            if now.ended:
                return
            self._over.wait(POST_EVERY_S)
            self._changed.wait(REPEAT_EVERY_S)
