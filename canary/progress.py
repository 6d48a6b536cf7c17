"""Show how far a run is and how it stands: a bar on a terminal, a line for every tenth elsewhere."""

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from canary.following import CandidateStanding
from canary.report.escaping import visible
from canary.report.quantities import difference, interval
from gateway.contracts.evaluations import Metric, Trial

TENTHS = 10


class _Bar(Progress):
    """A bar with lines under it."""

    lines: tuple[str, ...] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for line in self.lines:
            yield Text(line, no_wrap=True, overflow="ellipsis")


class RunProgress:
    """Use as a context manager: leaving it takes the bar down."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = _Bar(
            TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
        )
        self._task: TaskID | None = None
        self._standings: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._bar.stop()

    def note(self, sentence: str) -> None:
        self._console.print(sentence, highlight=False, soft_wrap=True, markup=False)

    def on_trial(self, trial: Trial, total: int) -> None:
        done = trial.sequence + 1
        if not self._console.is_terminal:
            if done * TENTHS // total > trial.sequence * TENTHS // total:
                self.note(f"trials {done}/{total} ({100 * done // total} %)")
                for line in self._standings:
                    self.note(line)
            return
        if self._task is None:
            self._task = self._bar.add_task("trials", total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done)
        if done == total:
            self._bar.stop()

    def on_case(self, standings: Sequence[CandidateStanding]) -> None:
        self._standings = tuple(_in_words(candidate) for candidate in standings)
        self._bar.lines = self._standings


def _in_words(candidate: CandidateStanding) -> str:
    """Say what is seen so far, and that it decides nothing: whoever stops here because it looks good has peeked."""
    label, standing = visible(candidate.label), candidate.standing
    spread = interval(standing.low, standing.high, Metric.ACCURACY, signed=True)
    early = f", may end at {standing.expected_stop}" if standing.expected_stop < standing.planned else ""
    return (
        f"  {label}: {difference(standing.difference, Metric.ACCURACY)} so far ({spread}; decides nothing), "
        f"{standing.pairs} of {standing.planned} cases{early}"
    )
