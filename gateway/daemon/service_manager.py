"""What launchd and systemd have in common: a file that says what to run, and a program that is told of it."""

import enum
import itertools
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from gateway.errors import StartError

COMMAND_TIMEOUT_S = 600.0
"""A stop waits for the gateway's end, and that for its requests'."""


class ManagerName(enum.StrEnum):
    LAUNCHD = "launchd"
    SYSTEMD = "systemd"

    @property
    def refusal_status(self) -> int:
        """The exit status that says: what is wrong stays wrong, do not start it again.

        launchd has no list of such statuses, only whether an end was a success; the log says that it was none.
        """
        match self:
            case ManagerName.LAUNCHD:
                return 0
            case ManagerName.SYSTEMD:
                return 78  # EX_CONFIG of sysexits.h


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    command: tuple[str, ...]
    """Absolute; `gateway service run` with the settings' flags."""
    working_dir: Path
    """Sources and suites that are named by a relative path lie there."""
    stop_timeout_s: int
    """What the gateway may take to let requests and engines end."""


class Ran(msgspec.Struct, frozen=True):
    """How a program of the system's ended, and what it said on both of its streams."""

    status: int
    output: str


Run = Callable[[Sequence[str]], Ran]
"""Runs a program to its end. Raises StartError where there is none of that name, or it does not end."""


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    installed: bool
    running: bool
    state: str
    """In the manager's own word."""
    pid: int | None = None
    last_exit: str = ""
    """Empty where it has not ended yet, or nobody tells."""
    restarts: int | None = None
    file: str
    logs: str
    """Files, and the command that shows the rest."""


class Manager(Protocol):
    """Writes, loads and removes the one service that is called `gateway`."""

    @property
    def file(self) -> Path: ...
    @property
    def default_log_file(self) -> Path | None:
        """Where the gateway is to log; None where the manager keeps what it says."""
        ...

    def content(self, plan: Plan) -> bytes: ...
    def is_ours(self, content: bytes) -> bool:
        """Say whether `gateway service install` wrote that."""
        ...

    def require(self) -> None:
        """Raise StartError where the manager cannot be spoken to."""
        ...

    def start(self, *, changed: bool) -> None:
        """Have the manager read the file and run what it says; again where it has changed. Raises StartError."""
        ...

    def stop(self) -> None:
        """End it, and have the manager forget it; what is not loaded is no error. Raises StartError."""
        ...

    def forget(self) -> None:
        """Tell the manager that the file is gone."""
        ...

    def status(self) -> ServiceStatus: ...


def this_manager() -> ManagerName:
    """Return the one of this system. Raises StartError."""
    if sys.platform == "darwin":
        return ManagerName.LAUNCHD
    if sys.platform == "linux":
        return ManagerName.SYSTEMD
    raise StartError(f"there is neither launchd nor systemd on {sys.platform}: start `gateway serve` by what there is")


def run_command(command: Sequence[str]) -> Ran:
    """Be the `Run` of the real system."""
    try:
        ended = subprocess.run(  # noqa: S603 - the system's own programs, with arguments of ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise StartError(f"there is no program {command[0]} here: start `gateway serve` by what there is") from error
    except subprocess.TimeoutExpired as error:
        raise StartError(f"`{' '.join(command)}` did not end within {COMMAND_TIMEOUT_S:g} s: try again") from error
    return Ran(ended.returncode, ended.stdout)


def log_file_in(command: Sequence[str]) -> str | None:
    """Return where a service that runs this logs to; None where its manager keeps the log."""
    return next((value for name, value in itertools.pairwise(command) if name == "--log-file"), None)


def checked(run: Run, *command: str, remedy: str) -> str:
    """Run it and return what it says. Raises StartError with its own words where it fails."""
    ran = run(command)
    if ran.status != 0:
        words = " ".join(ran.output.split()) or f"exit status {ran.status}"
        raise StartError(f"`{' '.join(command)}` failed ({words}): {remedy}")
    return ran.output
