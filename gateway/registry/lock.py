"""One gateway a state directory: an advisory lock that the kernel gives back however the process ends."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

from gateway.errors import StartError


class StateLock:
    """Holds `<state>/gateway.lock` from `acquire` to `release`; the file carries the holder's process id."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Create the directory where it is missing and take the lock.

        Raises StartError where another gateway holds it or the directory cannot be written.
        """
        path = self._state_dir / "gateway.lock"
        try:
            # Only the owner's: prompts of recorded cases and the audit log lie in it.
            self._state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(
                f"state directory {self._state_dir} is not writable ({error.strerror}): give this user the right to"
                " write there, or name another with --state-dir"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise _refusal(self._state_dir, error, holder) from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would race with the next holder."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _refusal(state_dir: Path, error: OSError, holder: str) -> StartError:
    if isinstance(error, BlockingIOError):
        return StartError(
            f"state directory {state_dir} is in use by another gateway (pid {holder or 'unknown'}): stop it, or name"
            " another with --state-dir"
        )
    return StartError(
        f"state directory {state_dir} cannot be locked ({error.strerror}): name one on a local disk with free space"
        " with --state-dir"
    )
