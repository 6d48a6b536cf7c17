"""Decode: take what arrived, step, emit what came of it. The one thread that touches MLX runs here."""

import sys
import time
import traceback
from collections.abc import Callable

from gateway.engine.handoff import Command, Event, Inbox, Outbox, Remove, RowsFaulted, Stepped, StopLoop
from gateway.engine.runner import RowsError, RowSpec, Runner, Scorer, ScoreSpec
from gateway.engine.scores import Scores

_CROWD_S = 0.05
"""The longest that a row waits for others."""


class Loop:
    """Holds the table of rows that were promised an end; the runner's own view is never trusted after an error."""

    def __init__(self, make_runner: Callable[[], Runner], inbox: Inbox, outbox: Outbox, *, scorer: Scorer) -> None:
        self._make_runner = make_runner
        self._runner = make_runner()
        self._rows: set[int] = set()
        self._scores = Scores(scorer)
        self._inbox = inbox
        self._outbox = outbox

    def run(self) -> None:
        """Return when told to stop, with the runner closed."""
        while (commands := self._take()) is not None:
            self._emit(self._step(commands))
            if advanced := self._scores.advance():
                self._emit(advanced)
        self._runner.close()

    def _take(self) -> list[Command] | None:
        """Return what arrived, waiting for it while there is nothing to do; None where a StopLoop is among it."""
        commands = self._inbox.take(wait_s=0)
        if not self._rows and not self._scores:
            while not commands and self._runner.tidy():
                commands = self._inbox.take(wait_s=0)
            commands = commands or self._inbox.take(wait_s=None)
            commands += self._crowd()
        return None if any(isinstance(command, StopLoop) for command in commands) else commands

    def _crowd(self) -> list[Command]:
        """Return what comes while more rows are expected, for a moment: an idle engine computes all prompts at once.

        Those that came a little later would have theirs computed piece by piece, beside the first ones' streams.
        """
        commands: list[Command] = []
        ends_s = time.monotonic() + _CROWD_S
        while self._inbox.expects() and (left_s := ends_s - time.monotonic()) > 0:
            commands += self._inbox.take(wait_s=left_s)
        return commands

    def _step(self, commands: list[Command]) -> Event:
        try:
            self._apply(commands)
            tokens = tuple(self._runner.step())
        except RowsError as error:
            self._rows.difference_update(error.rows)
            return _faulted(error.rows, error.__cause__ or error)
        except Exception as error:  # noqa: BLE001 - the seam to MLX: whatever it raises ends the rows, not the process
            return self._rebuild(error)
        self._rows.difference_update(token.row for token in tokens if token.finish_reason)
        return Stepped(
            tokens=tokens,
            rows=len(self._rows),
            memory=self._runner.memory(),
            prefix_cache=self._runner.prefix_counts(),
            padding_ratio=self._runner.padding_ratio(),
        )

    def _emit(self, event: Event) -> None:
        self._outbox.put(event)

    def _apply(self, commands: list[Command]) -> None:
        # The table comes first: a row whose insertion raises is answered too.
        self._rows.update(command.row for command in commands if isinstance(command, RowSpec))
        for command in commands:
            match command:
                case RowSpec():
                    self._runner.insert(command)
                case ScoreSpec():
                    self._scores.add(command)
                case Remove(row=row):
                    self._rows.discard(row)
                    self._scores.remove(row)
                    self._runner.remove(row)
                case StopLoop():
                    pass

    def _rebuild(self, error: Exception) -> RowsFaulted:
        """Replace the runner and answer for every row it held."""
        rows = tuple(sorted(self._rows))
        self._rows.clear()
        self._runner.close()
        self._runner = self._make_runner()
        return _faulted(rows, error)


def _faulted(rows: tuple[int, ...], error: BaseException) -> RowsFaulted:
    """Return the answer to rows that an error ended.

    The traceback goes to stderr: this thread knows token ids only, so it cannot carry anybody's text.
    """
    traceback.print_exception(error, file=sys.stderr)
    return RowsFaulted(
        rows=rows,
        message=f"The engine met an error ({type(error).__name__}) while it held this request; send it again.",
    )
