"""Run one program with limits on its time and its output, and leave no process of it behind."""

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

_POLL_S = 0.02
"""How long a program that has ended may go unnoticed while a process it started holds its output open."""
_READ_BYTES = 65536
_KEPT_VARIABLES = ("PATH", "HOME", "LANG")
"""No key of the gateway's, and nothing that makes two machines grade differently without need."""


class ChildEnd(msgspec.Struct, frozen=True, kw_only=True):
    output: bytes
    complaint: str | None
    """What went wrong, in words that continue `the command ...`; None where the program ended well."""


def run_child(
    command: Sequence[str], *, directory: Path, standard_input: bytes, timeout_s: float, max_output_bytes: int
) -> ChildEnd:
    """Run the command to its end or its limits; in either case all processes that it started are killed.

    A process that makes itself the child of another (a daemon) before its parent ends escapes that.
    """
    with tempfile.TemporaryFile() as given:
        given.write(standard_input)
        given.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - the suite's own executable, which its owner chose to run
                list(command),
                cwd=directory,
                env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return ChildEnd(output=b"", complaint=f"cannot be started: {error.strerror or error}")
    with process:
        try:
            return _read_until_end(process, timeout_s=timeout_s, max_output_bytes=max_output_bytes)
        finally:
            _kill_all(process)


def _read_until_end(process: "subprocess.Popen[bytes]", *, timeout_s: float, max_output_bytes: int) -> ChildEnd:
    output = bytearray()
    deadline_s = time.monotonic() + timeout_s
    assert process.stdout is not None  # noqa: S101 - it is a pipe, as `run_child` asked
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline_s:
            ended = process.poll() is not None
            if not selector.select(0 if ended else _POLL_S):
                if ended:
                    return _ended(process, bytes(output))
                continue
            part = os.read(process.stdout.fileno(), _READ_BYTES)
            if not part:
                break
            output += part
            if len(output) > max_output_bytes:
                return ChildEnd(output=b"", complaint=f"wrote more than {max_output_bytes} bytes")
    try:
        process.wait(max(0.0, deadline_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        return ChildEnd(output=b"", complaint=f"took longer than {timeout_s:g} s")
    return _ended(process, bytes(output))


def _ended(process: "subprocess.Popen[bytes]", output: bytes) -> ChildEnd:
    if process.returncode == 0:
        return ChildEnd(output=output, complaint=None)
    if process.returncode < 0:
        return ChildEnd(output=b"", complaint=f"was ended by {signal.Signals(-process.returncode).name}")
    return ChildEnd(output=b"", complaint=f"ended with status {process.returncode}")


def _kill_all(process: "subprocess.Popen[bytes]") -> None:
    """Kill the program's session's group, and its descendants that left the group while it lives."""
    strays: list[psutil.Process] = []
    if process.poll() is None:
        with suppress(psutil.Error):
            strays = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError, PermissionError):  # the group is empty, or on macOS holds only zombies
        os.killpg(process.pid, signal.SIGKILL)
    for stray in strays:
        with suppress(psutil.Error):
            stray.kill()
    process.wait()
