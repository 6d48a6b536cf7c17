"""Keep the machine from sleeping while it is measured, where the system has a command for that."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_STOP_TIMEOUT_S = 5.0


class Wakefulness:
    """Whether the machine is kept awake, and by what."""

    def __init__(self, process: "subprocess.Popen[bytes] | None", name: str) -> None:
        self._process = process
        self._name = name

    @property
    def by(self) -> str | None:
        """The command, as long as it runs: one that the system refused has ended by itself."""
        return self._name if self._process is not None and self._process.poll() is None else None


@contextmanager
def kept_awake(url: str) -> Generator[Wakefulness]:
    """Keep this machine awake, if the gateway at `url` runs on it, until the context is left or canary dies."""
    command = _command(os.getpid()) if urlsplit(url).hostname in _LOOPBACK else None
    process = None
    if command is not None:
        with suppress(OSError):  # it is a convenience: the report says that there was none
            process = subprocess.Popen(  # noqa: S603 - a command of the system's, found on PATH
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
    try:
        yield Wakefulness(process, Path(command[0]).name if command else "")
    finally:
        if process is not None:
            # With what it has started: systemd-inhibit runs another command.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_TIMEOUT_S)


def _command(pid: int) -> list[str] | None:
    """Return what keeps the machine awake for as long as the process lives; None where nothing does."""
    if sys.platform == "darwin" and (caffeinate := shutil.which("caffeinate")):
        return [caffeinate, "-i", "-w", str(pid)]
    if inhibit := shutil.which("systemd-inhibit"):
        reason = ["--what=idle:sleep", "--who=canary", "--why=an evaluation runs", "--mode=block"]
        return [inhibit, *reason, "tail", f"--pid={pid}", "-f", os.devnull]
    return None
