"""Tell how an engine's process failed: pure, from how it ended and what it wrote last.

What may be repeated to people is chosen here too. Once requests run, a line of standard error may quote one (a panic in
a tokenizer prints the string that it stumbled over), so only lines of known makes are repeated.
"""

import re
import signal
from typing import NamedTuple

import msgspec

from gateway.contracts.admin import EngineMemory, FailureReason

_OUT_OF_MEMORY = re.compile(
    # Words of Metal (MLX aborts in a completion handler, where nothing can catch it), C++, Python, MLX, the system.
    r"Insufficient Memory|OutOfMemory|bad_alloc|MemoryError|Unable to allocate|Cannot allocate memory|out of memory",
    re.IGNORECASE,
)
_REPEATABLE = re.compile(
    r"libc\+\+abi: |terminate called |what\(\): +(\[|std::)|Fatal Python error: "
    r"|\w+ in the (text|prompt) thread$|MemoryError$"
)
_SPEAKING_SIGNALS = frozenset({signal.SIGABRT, signal.SIGTRAP})
"""A process ends itself by these, after it has written why. By others it ends in the middle of something else."""


class ProcessExit(msgspec.Struct, frozen=True, kw_only=True):
    """How a child ended, as far as its parent can know."""

    status: int
    """Exit status, or minus the signal's number."""
    last_lines: tuple[str, ...] = ()
    """What it wrote to standard error in its last seconds, oldest first."""

    @property
    def signal_name(self) -> str:
        """`SIGKILL`, or empty where no signal ended it."""
        if self.status >= 0:
            return ""
        try:
            return signal.Signals(-self.status).name
        except ValueError:
            return f"signal {-self.status}"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a process that was not asked for."""

    reason: FailureReason
    sentence: str
    """For people; nothing in it is of a request."""
    loading: bool
    """Whether it was not ready yet."""
    status: int | None = None
    """As of ProcessExit; None where there was no process."""
    signal_name: str = ""
    memory: EngineMemory = EngineMemory()
    """As it last reported it."""
    request_count: int = 0
    """Requests that it held at work."""
    restart_in_s: float | None = None
    """None where it is not started again."""


class Cause(NamedTuple):
    """Why the parent gave a process up, where it did."""

    reason: FailureReason
    sentence: str
    """A whole one, as of Failure."""


def failure_of(exit_: ProcessExit, *, loading: bool, cause: Cause | None = None) -> Failure:
    """Tell the failures apart."""
    return Failure(
        reason=_reason(exit_, loading=loading, cause=cause),
        sentence=cause.sentence if cause else _sentence(exit_, loading=loading),
        loading=loading,
        status=exit_.status,
        signal_name=exit_.signal_name,
    )


def _reason(exit_: ProcessExit, *, loading: bool, cause: Cause | None) -> FailureReason:
    words = [cause.sentence] if cause else []
    if exit_.status >= 0 or -exit_.status in _SPEAKING_SIGNALS:
        words += exit_.last_lines
    if cause and not loading:
        return cause.reason
    if any(map(_OUT_OF_MEMORY.search, words)):
        return FailureReason.OUT_OF_MEMORY
    if cause:
        return cause.reason
    if exit_.status == -signal.SIGKILL:
        return FailureReason.KILLED
    if loading:
        return FailureReason.START_FAILED
    return FailureReason.EXITED if exit_.status >= 0 else FailureReason.CRASHED


def _sentence(exit_: ProcessExit, *, loading: bool) -> str:
    ended = f"was ended by {exit_.signal_name}" if exit_.signal_name else f"exited with status {exit_.status}"
    lines = exit_.last_lines if loading else tuple(filter(_REPEATABLE.match, exit_.last_lines))
    return f"The engine process {ended}: {lines[-1]}" if lines else f"The engine process {ended}."
