"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar


class Progress:
    """Shows the share that is done and what is being done, on standard error, from whichever thread it comes."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._console = console
        self._bar: Bar | None = None
        self._last_message = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def show(self, share: float, message: str) -> None:
        """Show `message` at `share` in [0, 1]; at 1 the bar is complete and goes."""
        if not self._console.is_terminal:
            if message != self._last_message:
                self._console.print(f"{message} ...", markup=False, highlight=False)
            self._last_message = message
            return
        if self._bar is None:
            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._bar.add_task(message, total=1.0)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=share, description=message)
        if share >= 1.0:
            self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
