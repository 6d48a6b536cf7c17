"""Run programs that nobody has read: the interface. What runs them is a child process, which may end at any time.

    Sandbox.run()      one program in several worlds -> a Behaviour or a Failure for each
    Sandbox.run_all()  several programs in several worlds -> the same for each program
    shared_sandbox()   the process's own, started at its first use

Around a program lie, from the inside: Monty, an interpreter of a subset of Python with no files, no sockets and no way
to the host but the tools it is given, with limits on time, memory, calls and output; Monty's worker process; our child
process with the operating system's limits (`belt.py`), no environment and, where the platform has it, no network; and
the deadline here, at which the child and all that it started are killed.
"""

import atexit
import contextlib
import functools
import os
import queue
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

import msgspec

import canary
from canary.programs.behaviour import Behaviour, Failure, FailureKind
from canary.programs.messages import ConnectionEnded, Hello, Limits, Reply, Request, receive, send
from canary.programs.tools import Catalogue
from canary.programs.worlds import World

START_TIMEOUT_S = 30.0
GRACE_S = 10.0
"""Beside the program's own time: Monty's worker may have to be killed by its pool first."""
RUNS_PER_CHILD = 20_000
"""Then a new one: the limit on processor time is one process's, and must not meet a program that did nothing wrong."""
ATTEMPTS = 2
"""A crash is tried once more in a new child, so that it is the program's and not the one's before it."""

_MODULE = "canary.programs.sandbox_child"
_ROOT = Path(canary.__file__).parent.parent


class _Child:
    """One child process and its socket. Raises ConnectionEnded where it does not start."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", _MODULE, str(theirs.fileno())],
                env=_environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._connection = ours
        self._connection.settimeout(START_TIMEOUT_S)
        self.runs = 0
        try:
            self.belt = msgspec.msgpack.decode(receive(self._connection), type=Hello).belt
        except (ConnectionEnded, TimeoutError) as error:
            self.end()
            raise ConnectionEnded from error

    def ask(self, request: Request) -> Reply:
        """Raises ConnectionEnded where the child ended, TimeoutError where it did not answer in time."""
        runs_count = len(request.sources) * len(request.worlds)
        self.runs += runs_count
        self._connection.settimeout(GRACE_S + request.limits.time_s * runs_count)
        send(self._connection, request)
        return msgspec.msgpack.decode(receive(self._connection), type=Reply)

    def end(self) -> None:
        """Kill the child and what it started, which is its own session's."""
        self._connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Sandbox:
    """Child processes, each replaced when it ended or did not answer. Safe to share between threads."""

    def __init__(self, children_count: int = 1) -> None:
        self._idle: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(children_count):
            # Started when it is needed.
            self._idle.put(None)

    def run(
        self,
        source: str,
        worlds: Sequence[World],
        *,
        tools: Catalogue,
        wants_result: bool,
        limits: Limits | None = None,
    ) -> tuple[Behaviour | Failure, ...]:
        """Return what the program did in each world. It is never an exception, whatever the program does."""
        (outcomes,) = self.run_all((source,), worlds, tools=tools, wants_result=wants_result, limits=limits)
        return outcomes

    def run_all(
        self,
        sources: Sequence[str],
        worlds: Sequence[World],
        *,
        tools: Catalogue,
        wants_result: bool,
        limits: Limits | None = None,
    ) -> tuple[tuple[Behaviour | Failure, ...], ...]:
        """Return for each program what it did in each world: one message for many programs that are short to run."""
        if not sources or not worlds:
            return ((),) * len(sources)
        request = Request(
            sources=tuple(sources),
            tools=tools,
            worlds=tuple(worlds),
            wants_result=wants_result,
            limits=limits or Limits(),
        )
        for _ in range(ATTEMPTS):
            try:
                with self._child() as child:
                    return child.ask(request).outcomes
            except TimeoutError:
                failure = Failure(kind=FailureKind.TIMEOUT, message="the sandbox did not answer in time")
                return ((failure,) * len(worlds),) * len(sources)
            except ConnectionEnded:
                continue
        failure = Failure(kind=FailureKind.SANDBOX_CRASHED, message="the sandbox ended twice")
        return ((failure,) * len(worlds),) * len(sources)

    @property
    def belt(self) -> tuple[str, ...]:
        """The operating system's limits that are in force around the program."""
        with self._child() as child:
            return child.belt

    def close(self) -> None:
        """End the children that are idle; one that runs a program is left to its caller."""
        for child in [self._idle.get_nowait() for _ in range(self._idle.qsize())]:
            if child is not None:
                child.end()
            self._idle.put(None)

    @contextlib.contextmanager
    def _child(self) -> Generator[_Child]:
        """Lend an idle child, or a new one; what raises in it, or has run enough, is ended. Raises ConnectionEnded."""
        child = self._idle.get()
        kept = None
        try:
            child = child or _Child()
            yield child
            kept = child if child.runs < RUNS_PER_CHILD else None
        finally:
            if kept is None and child is not None:
                child.end()
            self._idle.put(kept)


@functools.cache
def shared_sandbox() -> Sandbox:
    """Return the sandbox of this process, with a child a processor."""
    sandbox = Sandbox(os.cpu_count() or 1)
    atexit.register(sandbox.close)
    return sandbox


def _environment() -> dict[str, str]:
    """Return what the child needs to find its modules, and nothing else: no key, no path of the caller's."""
    measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {"PYTHONPATH": str(_ROOT), **measured}
