"""Tell a process that hangs from one that works. Pure: it counts ticks, which somebody's timer makes.

Ticks and not time: where the whole gateway stood still, as while the machine slept, one tick is late and nothing is
taken for a hang before the gateway has read what the child wrote meanwhile.
"""

from dataclasses import dataclass

TICKS = 8
"""Without progress, and the process hangs. The limit is overrun by an eighth at most."""


@dataclass
class Watch:
    _stepless: int = 0
    _speechless: int = 0

    def stepped(self) -> None:
        """The process has worked on requests that run."""
        self._stepless = 0

    def answered(self) -> None:
        """The process has read a request and said yes or no."""
        self._speechless = 0

    def tick(self, *, running: bool, asked: bool, chunks: int = 1) -> bool:
        """Note that an eighth of the limit has passed; return whether the process hangs.

        `running` says whether it holds requests that were started, `asked` whether one waits for its yes or no. The
        step that is under way may work on so many chunks of a prompt.
        """
        self._stepless = self._stepless + 1 if running else 0
        self._speechless = self._speechless + 1 if asked else 0
        return self._stepless > TICKS * chunks or self._speechless > TICKS
