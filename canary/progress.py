"""Show how far a run is: a bar on a terminal, a line for every tenth elsewhere."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gateway.contracts.evaluations import Trial

TENTHS = 10


class RunProgress:
    """Use as a context manager: leaving it takes the bar down."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
        )
        self._task: TaskID | None = None

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
            return
        if self._task is None:
            self._task = self._bar.add_task("trials", total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done)
        if done == total:
            self._bar.stop()
