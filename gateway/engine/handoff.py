"""What the threads of an engine hand each other: commands to the loop, events to the text thread."""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable

import msgspec

from gateway import wire
from gateway.contracts.admin import EngineMemory, PrefixCacheCounts
from gateway.contracts.scoring import PositionScore
from gateway.engine.echo import Echo
from gateway.engine.reply import Reply
from gateway.engine.runner import RowSpec, RowToken, ScoreSpec
from gateway.engine.tokenizer import Tokenizer
from gateway.engine.window import Refusal


class Remove(msgspec.Struct, frozen=True):
    row: int


class StopLoop(msgspec.Struct, frozen=True):
    """The loop returns instead of taking another step."""


Command = RowSpec | ScoreSpec | Remove | StopLoop


class Loaded(msgspec.Struct, frozen=True):
    """The model is ready; requests may be read from now on."""

    tokenizer: Tokenizer
    ready: wire.Ready
    identity: wire.Identity


class LoadEnded(msgspec.Struct, frozen=True):
    """The model cannot be loaded; the text thread says so and ends."""

    message: str


class Parked(msgspec.Struct, frozen=True):
    """A request that may run: its row, what reads its answer, and what tells its prompt where that was asked for."""

    spec: RowSpec
    reply: Reply
    echo: Echo | None


class Prepared(msgspec.Struct, frozen=True):
    """A request has been read."""

    request: wire.Request
    outcome: Parked | ScoreSpec | wire.Tokenized | Refusal


class Stepped(msgspec.Struct, frozen=True):
    tokens: tuple[RowToken, ...]
    rows: int
    """Held after the step."""
    memory: EngineMemory
    prefix_cache: PrefixCacheCounts = PrefixCacheCounts()
    padding_ratio: float = 0.0


class ScoreAdvanced(msgspec.Struct, frozen=True):
    row: int
    positions: tuple[PositionScore, ...]
    ended: bool


class RowsFaulted(msgspec.Struct, frozen=True):
    """The step raised: these rows are gone."""

    rows: tuple[int, ...]
    message: str


Event = Loaded | LoadEnded | Prepared | Stepped | ScoreAdvanced | RowsFaulted


def _nobody() -> bool:
    return False


class Inbox:
    """Commands to the loop, which waits here while it holds no rows."""

    def __init__(self) -> None:
        self.expects: Callable[[], bool] = _nobody
        """Whether more rows are about to come: their requests are here, and read or about to be started."""
        self._commands: deque[Command] = deque()
        self._arrived = threading.Condition()

    def put(self, command: Command) -> None:
        with self._arrived:
            self._commands.append(command)
            self._arrived.notify()

    def take(self, *, wait_s: float | None) -> list[Command]:
        """Return all commands in order, as soon as there is one; none where none comes in time.

        With None the wait has no limit: the process ends with its socket, not with this thread.
        """
        with self._arrived:
            self._arrived.wait_for(lambda: self._commands, wait_s)
            commands = list(self._commands)
            self._commands.clear()
        return commands


class Outbox:
    """Events to the text thread, which sleeps in a select over its socket and `wake_fd`."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self.wake_fd, self._bell_fd = os.pipe()
        os.set_blocking(self.wake_fd, False)
        os.set_blocking(self._bell_fd, False)

    def put(self, event: Event) -> None:
        self._events.append(event)
        with contextlib.suppress(BlockingIOError):  # A full pipe has long woken the reader.
            os.write(self._bell_fd, b"!")

    def quiet(self) -> None:
        """Take the wake-up; the events stay."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake_fd, 65536)

    def take(self) -> list[Event]:
        """Return all events in order, maybe none."""
        events: list[Event] = []
        while self._events:
            events.append(self._events.popleft())
        return events
